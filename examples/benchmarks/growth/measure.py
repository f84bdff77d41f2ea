"""What is measured of growing models, in one process: programs, compile times, step times beside products, memory."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from examples.benchmarks.frameworks.xla_ import build as bare_products
from examples.benchmarks.harness.measure import spread
from examples.benchmarks.harness.task import Task
from examples.benchmarks.workload import Product, Workload, trained
from fdl import losses, nn, optim, train
from fdl.compile import compile

DIM, HEADS, VOCAB = 64, 4, 65
MIB = 2**20


def gpt(depth: int, context: int, *, written_out: bool = False) -> nn.Layer:
    """A small GPT, its blocks stacked and scanned, or written out one after the other."""
    block = nn.encoder_block(DIM, HEADS, causal=True)
    blocks = nn.serial(*[block] * depth) if written_out else nn.repeat(block, depth)
    return nn.serial(
        embed=nn.embedding(VOCAB, DIM),
        position=nn.learned_position(context, DIM),
        blocks=blocks,
        head=nn.dense(DIM, VOCAB, use_bias=False),
    )


def loss_of(model: nn.Layer, text: jax.Array) -> Callable:
    """The mean cross-entropy of the next character, as a function of the parameters."""

    def loss(params):
        logits, _ = model.apply(params, {}, text[:, :-1], key=jax.random.key(0), train=True)
        return losses.cross_entropy(logits, text[:, 1:]).mean()

    return loss


def by_depth(depth: int, *, written_out: bool) -> dict:
    """Lines of the program, and seconds to trace, lower and compile the gradient."""
    model = gpt(depth, 64, written_out=written_out)
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    start = time.perf_counter()
    lowered = compile(jax.grad(loss_of(model, jnp.zeros((2, 65), jnp.int32)))).lower(params)
    lower_seconds = time.perf_counter() - start
    start = time.perf_counter()
    lowered.compile()
    seconds = {"lower_seconds": lower_seconds, "compile_seconds": time.perf_counter() - start}
    return {"lines": lowered.as_text().count("\n")} | seconds


def memory(context: int, way: str) -> float:
    """MiB of temporaries of the gradient of eight blocks: written out, repeated, or computed again."""
    block = nn.encoder_block(DIM, HEADS, causal=True)
    ways = {"serial": nn.serial(*[block] * 8), "repeat": nn.repeat(block, 8), "remat": nn.repeat(nn.remat(block), 8)}
    model = ways[way]
    params, _ = jax.eval_shape(model.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((4, context, DIM), jnp.float32)
    loss = lambda params, x: jnp.sum(model.apply(params, {}, x, key=jax.random.key(0), train=True)[0] ** 2)
    return compile(jax.grad(loss)).lower(params, x).compile().memory_analysis().temp_size_in_bytes / MIB


def mlp_case(batch: int, width: int) -> tuple[Callable, tuple[Product, ...]]:
    """One step of an MLP 784-width-10, and its products."""
    model = nn.serial(nn.dense(784, width), nn.relu, nn.dense(width, 10))
    rng = np.random.default_rng(0)
    example = {"image": rng.standard_normal((batch, 784), np.float32), "label": rng.integers(0, 10, batch)}

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    products = trained(1, batch, 784, width, first=True) + trained(1, batch, width, 10)
    return stepping(loss_fn, model, example | {"label": example["label"].astype(np.int32)}), products


def gpt_case(context: int, tokens: int = 2048) -> tuple[Callable, tuple[Product, ...]]:
    """One step of four blocks over so many characters in all, and its products."""
    depth, batch = 4, tokens // context
    model = gpt(depth, context)
    text = np.random.default_rng(0).integers(0, VOCAB, (batch, context + 1)).astype(np.int32)

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch[:, :-1], key=key, train=True)
        return losses.cross_entropy(logits, batch[:, 1:]).mean(), (state, {})

    head = DIM // HEADS
    products = trained(depth, tokens, DIM, 3 * DIM) + trained(depth, tokens, DIM, DIM) + trained(1, tokens, DIM, VOCAB)
    products += trained(depth * batch * HEADS, context, head, context)
    products += trained(depth * batch * HEADS, context, context, head)
    products += trained(depth, tokens, DIM, 4 * DIM) + trained(depth, tokens, 4 * DIM, DIM)
    return stepping(loss_fn, model, text), products


def stepping(loss_fn: Callable, model: nn.Layer, batch) -> Callable:
    """step(n): n training steps on one batch, within `train.run`."""
    optimizer = optim.adam(1e-3)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(model.init, optimizer)
    batch = jax.tree.map(jnp.asarray, batch)

    def steps(count):
        nonlocal state
        for _ in range(count):
            state, metrics = step(state, batch)
        jax.block_until_ready((state, metrics))

    return steps


def times(cases: dict[str, tuple[Callable, tuple[Product, ...]]], rounds: int) -> dict:
    """Milliseconds a step and the fraction that its bare products take, in turn."""
    runs: dict[str, Callable[[int], object]] = {}
    for name, (steps, products) in cases.items():
        runs[name] = steps
        runs[f"{name} products"] = bare_products(_bare(products))
    counts = {name: _fitting(run) for name, run in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(counts[name])
            seconds[name].append((time.perf_counter() - start) / counts[name])
    return {
        name: {
            "milliseconds": 1e3 * statistics.median(seconds[name]),
            "of_limit": spread([a / b for a, b in zip(seconds[f"{name} products"], seconds[name])]),
        }
        for name in cases
    }


def _bare(products: tuple[Product, ...]) -> Task:
    """A task of products alone."""
    return Task(Workload("", "", 1, lambda rng, count: {}, products), {}, {}, np.zeros(0, int))


def _fitting(run: Callable[[int], object], seconds: float = 0.3) -> int:
    """How many units last so long, after the first, which compiles."""
    run(1)
    start = time.perf_counter()
    run(1)
    return max(1, round(seconds / (time.perf_counter() - start)))
