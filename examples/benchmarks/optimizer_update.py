"""What one update of Adam costs over 10, 100 and 1,000 leaves, beside optax, one flat array, NumPy and torch:

python -m examples.benchmarks.optimizer_update [--rounds 100] [--leaves 10 100 1000] [--record FILE]

All ways live in one process and take turns in a new order each round; a ratio is the median over neighbours, between
its quartiles.  First every way takes ten steps, and ends the run unless all arrive at the same parameters.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim, train, tree
from fdl.compile import compile, compiler_options

RATE, DECAY, B1, B2, EPS = 1e-3, 1e-2, 0.9, 0.999, 1e-8
SIZES: dict[str, Callable[[int], int]] = {"tiny": lambda leaves: 20 * leaves, "million": lambda leaves: 1_000_000}
PAIRS = (
    ("adam", "optax_adam"),
    ("adam", "optax_adam_plain_jit"),
    ("adamw", "optax_adamw"),
    ("adamw", "optax_adamw_plain_jit"),
    ("adam", "bound"),
    ("optax_adam", "bound"),
    ("adam_flat", "bound"),
    ("numpy", "bound"),
    ("torch_foreach", "adam"),
    ("torch_fused", "adam"),
)


class Way(NamedTuple):
    """One way of updating: take a step and wait for it, look at the parameters, make the program once more."""

    step: Callable[[], None]
    params: Callable[[], list[np.ndarray]]
    make: Callable[[], tuple[float, float, int]] | None = None


def parameters(leaves: int, scalars: int) -> dict:
    """Kernels of three proportions and their biases: about so many scalars in exactly so many leaves."""
    rng = np.random.default_rng(0)
    dim = max(2, int((2 * scalars / leaves) ** 0.5))
    shapes = [(dim, dim), (dim // 2, 2 * dim), (2 * dim, dim // 2)]
    layer = lambda a, b: {"kernel": rng.normal(0, 0.1, (a, b)).astype("f"), "bias": rng.normal(0, 0.1, b).astype("f")}
    return {f"layer_{i:03}": layer(*shapes[i % 3]) for i in range(leaves // 2)}


def jitted(optimizer: Any, apply: Callable, params: dict, grads: dict, jit: Callable) -> Way:
    """The update under jit, both arguments donated: jit(function) compiles it."""

    def update(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return apply(params, updates), state

    return compiled(update, optimizer.init, params, grads, jit)


def compiled(update: Callable, init: Callable, params: Any, grads: Any, jit: Callable) -> Way:
    """A way out of update(params, state, grads) -> (params, state)."""
    held = jax.tree.map(jnp.array, params)
    state, grads = init(held), jax.tree.map(jnp.array, grads)
    run, carry = jit(update), [held, state]

    def step():
        carry[:] = jax.block_until_ready(run(*carry, grads))

    def make() -> tuple[float, float, int]:
        """Seconds to trace and lower a function that JAX has not seen, seconds to compile it, letters of it."""
        start = time.perf_counter()
        lowered = jit(lambda *args: update(*args)).lower(*carry, grads)
        middle = time.perf_counter()
        lowered.compile()
        return middle - start, time.perf_counter() - middle, len(lowered.as_text())

    return Way(step, lambda: [np.asarray(leaf) for leaf in jax.tree.leaves(carry[0])], make)


def bound(params: dict, grads: dict, jit: Callable) -> Way:
    """Adam written out for one flat array: no leaves to loop over."""

    def update(params, state, grads):
        step, mean, square = state
        step = step + 1
        filled = lambda decay: 1 - decay ** step.astype(jnp.float32)
        mean = B1 * mean + (1 - B1) * grads
        square = B2 * square + (1 - B2) * (grads * grads)
        params = params - RATE * (mean / filled(B1)) / (jnp.sqrt(square / filled(B2)) + EPS)
        return params, (step, mean, square)

    init = lambda params: (jnp.zeros((), jnp.int32), jnp.zeros_like(params), jnp.zeros_like(params))
    return compiled(update, init, flat(params), flat(grads), jit)


def in_numpy(params: dict, grads: dict) -> Way:
    """Adam in place on flat NumPy arrays."""
    p, g = flat(params), flat(grads)
    mean, square, a, b = (np.zeros_like(p) for _ in range(4))
    steps = [0]

    def step():
        steps[0] += 1
        mean_scale, root = np.float32(RATE / (1 - B1 ** steps[0])), np.float32((1 - B2 ** steps[0]) ** 0.5)
        np.multiply(mean, np.float32(B1), out=mean)
        np.add(mean, np.multiply(g, np.float32(1 - B1), out=a), out=mean)
        np.multiply(square, np.float32(B2), out=square)
        np.add(square, np.multiply(np.multiply(g, g, out=a), np.float32(1 - B2), out=a), out=square)
        np.add(np.divide(np.sqrt(square, out=a), root, out=a), np.float32(EPS), out=a)
        np.subtract(p, np.divide(np.multiply(mean, mean_scale, out=b), a, out=b), out=p)

    return Way(step, lambda: [p])


def in_torch(params: dict, grads: dict, **form: bool) -> Way:
    """torch.optim.Adam, eager, in one of its forms over all leaves at once."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # else its threads spin into the next way's turn
    import torch

    torch.set_num_threads(os.cpu_count() or 1)  # as many as XLA takes
    leaves = [torch.nn.Parameter(torch.tensor(leaf)) for leaf in jax.tree.leaves(params)]
    for leaf, grad in zip(leaves, jax.tree.leaves(grads)):
        leaf.grad = torch.tensor(grad)
    optimizer = torch.optim.Adam(leaves, RATE, (B1, B2), EPS, **form)
    return Way(lambda: optimizer.step() and None, lambda: [leaf.detach().numpy() for leaf in leaves])


def ways(leaves: int, scalars: int, optax: Any) -> Iterator[tuple[str, Way]]:
    """All ways over the same parameters, which all get the same gradients."""
    params, grads = parameters(leaves, scalars), parameters(leaves, scalars)
    grads = jax.tree.map(lambda g: g[::-1].copy(), grads)
    ours = lambda f: compile(f, donate_argnums=(0, 1))
    plain = lambda f: jax.jit(f, donate_argnums=(0, 1))
    same = lambda f: jax.jit(f, donate_argnums=(0, 1), compiler_options=compiler_options(jax.default_backend()))
    kernels = lambda params: tree.select(params, "**/kernel")
    theirs = {"adam": optax.adam(RATE), "adamw": optax.adamw(RATE, weight_decay=DECAY, mask=kernels)}
    mine = {"adam": optim.adam(RATE), "adamw": optim.adamw(RATE, weight_decay=DECAY)}
    yield "bound", bound(params, grads, same)
    yield "numpy", in_numpy(params, grads)
    yield (
        "adam_flat",
        jitted(mine["adam"], optim.apply_updates, {"kernel": flat(params)}, {"kernel": flat(grads)}, ours),
    )
    for name in mine:
        yield name, jitted(mine[name], optim.apply_updates, params, grads, ours)
        yield f"optax_{name}", jitted(theirs[name], optax.apply_updates, params, grads, same)
        yield f"optax_{name}_plain_jit", jitted(theirs[name], optax.apply_updates, params, grads, plain)
    try:
        yield "torch_foreach", in_torch(params, grads, foreach=True)
        yield "torch_fused", in_torch(params, grads, fused=True)
    except ImportError:
        print("torch is not installed: its rows are left out", file=sys.stderr)


def require_same(found: dict[str, Way], steps: int = 10) -> None:
    """Take ten steps each way; end the program where two ways disagree."""
    for way in found.values():
        for _ in range(steps):
            way.step()
    ends = {name: np.concatenate([leaf.ravel() for leaf in way.params()]) for name, way in found.items()}
    for name, end in ends.items():
        off = float(np.abs(end - ends["adamw" if "adamw" in name else "adam"]).max())
        if not off <= 1e-6:
            sys.exit(f"{name} ends {off:.1e} away from ours after {steps} steps: no ratio of these is worth printing")


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, taken in another order each round; the first rounds warm up."""
    rng, seconds = np.random.default_rng(0), {name: [] for name in calls}
    for _ in range(rounds + 3):
        for name in rng.permutation(list(calls)):
            start = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: taken[3:] for name, taken in seconds.items()}


def ratio(seconds: dict[str, list[float]], a: str, b: str) -> list[float]:
    """Lower quartile, median and upper quartile of the ratio of neighbours."""
    return [round(float(x), 3) for x in np.quantile(np.divide(seconds[a], seconds[b]), (0.25, 0.5, 0.75))]


def ratios(seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """The ratios of all pairs that were measured."""
    return {f"{a} / {b}": ratio(seconds, a, b) for a, b in PAIRS if a in seconds and b in seconds}


def programs(found: dict[str, Way], rounds: int = 3) -> dict:
    """What it takes to make each program, made in turn; ratios as for the times."""
    rng, makes = np.random.default_rng(0), {name: way.make for name, way in found.items() if way.make}
    rows = {name: [] for name in makes}
    for _ in range(rounds):
        for name in rng.permutation(list(makes)):
            rows[name].append(makes[name]())
    lowering, compiling = ({name: [row[i] for row in taken] for name, taken in rows.items()} for i in (0, 1))
    return {
        "trace_and_lower_s": {name: round(statistics.median(taken), 4) for name, taken in lowering.items()},
        "compile_s": {name: round(statistics.median(taken), 3) for name, taken in compiling.items()},
        "kilobytes": {name: taken[0][2] // 1000 for name, taken in rows.items()},
        "trace_and_lower_quartiles": ratios(lowering),
        "compile_quartiles": ratios(compiling),
    }


def measure(leaves: int, scalars: int, rounds: int, optax: Any) -> dict:
    """Times of all ways, their ratios, and what their programs cost to make."""
    found = dict(ways(leaves, scalars, optax))
    require_same(found)
    seconds = in_turn({name: way.step for name, way in found.items()}, rounds)
    return {
        "scalars": tree.count(parameters(leaves, scalars)),
        "microseconds": {name: round(1e6 * statistics.median(taken), 1) for name, taken in seconds.items()},
        "least_microseconds": {name: round(1e6 * min(taken), 1) for name, taken in seconds.items()},
        "time_quartiles": ratios(seconds),
        "programs": programs(found),
    }


def dispatch(leaves: int, rounds: int) -> dict:
    """A whole train step of a loss that is nearly nothing: `make_train_step` over bare jax.jit of the same function."""

    def loss_fn(params, state, batch, key):
        return sum(jnp.sum(leaf[:1]) for leaf in jax.tree.leaves(params)) * batch, (state, {})

    params = jax.tree.map(jnp.array, parameters(leaves, SIZES["tiny"](leaves)))
    step = train.make_train_step(loss_fn, optim.adam(RATE))
    options = compiler_options(jax.default_backend())
    bare = jax.jit(step.pure, donate_argnums=(0,), compiler_options=options)
    batch = jnp.float32(1)

    def way(run):
        carry = [train.init_state(lambda key: (jax.tree.map(jnp.array, params), {}), optim.adam(RATE))]

        def once():
            carry[0], metrics = run(carry[0], batch)
            jax.block_until_ready((carry[0], metrics))

        return once

    seconds = in_turn({"step": way(step), "bare": way(bare)}, rounds)
    return {
        "step_us": round(1e6 * statistics.median(seconds["step"]), 1),
        "step / bare": ratio(seconds, "step", "bare"),
    }


def call_overhead(rounds: int = 5000) -> float:
    """Microseconds that `compile` adds to a call of jax.jit with a dict of ten arrays."""
    arrays = {f"x{i}": jnp.ones(3) for i in range(10)}
    f = lambda arrays: jax.tree.map(lambda x: x + 1, arrays)
    options = compiler_options(jax.default_backend())
    ours, bare = compile(f), jax.jit(f, compiler_options=options)
    wait = lambda run: lambda: jax.block_until_ready(run(arrays))
    seconds = in_turn({"ours": wait(ours), "bare": wait(bare)}, rounds)
    return round(1e6 * float(np.median(np.subtract(seconds["ours"], seconds["bare"]))), 2)


def flat(params: dict) -> np.ndarray:
    """All leaves as one array."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def main() -> None:
    """Measure all sizes, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="for 1,000 leaves; smaller trees take more")
    parser.add_argument("--leaves", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    try:
        import optax
    except ImportError:
        sys.exit("this benchmark compares with optax, which is not installed: pip install optax")
    result: dict = {"machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "jax": jax.__version__}}
    result["compile_adds_us_a_call"] = call_overhead()
    for leaves in options.leaves:
        rounds = options.rounds if leaves >= 1000 else 3 * options.rounds
        found = {name: measure(leaves, size(leaves), rounds, optax) for name, size in SIZES.items()}
        result[f"{leaves} leaves"] = found | {"train_step": dispatch(leaves, rounds)}
        print(leaves, "leaves", json.dumps(result[f"{leaves} leaves"], indent=1), flush=True)
    if options.record:
        options.record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
