"""What `run` costs over a bare lax.scan of the same step, and over single steps:

python -m examples.benchmarks.overhead [--rounds 9] [--record FILE]

All three do the same steps on the same data with the same compiler options, taken in turn.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from fdl import data, losses, nn, optim, train
from fdl.compile import compile

SOFTMAX = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
MLP = nn.serial(nn.flatten, nn.dense(784, 800, kernel_init=nn.he_normal()), nn.relu, nn.dense(800, 10))
CNN = nn.serial(
    *(nn.conv(1, 32, 3, kernel_init=nn.he_normal()), nn.batch_norm(32), nn.relu, nn.max_pool(2)),
    *(nn.conv(32, 64, 3, kernel_init=nn.he_normal()), nn.batch_norm(64), nn.relu, nn.max_pool(2)),
    *(nn.flatten, nn.dropout(0.2), nn.dense(7 * 7 * 64, 128, kernel_init=nn.he_normal()), nn.relu),
    *(nn.dropout(0.2), nn.dense(128, 10)),
)
MODELS = {"softmax": (SOFTMAX, 250), "mlp": (MLP, 100), "cnn": (CNN, 100)}  # with the size of a batch
STEPS = {"softmax": 512, "mlp": 64, "cnn": 16}
WAYS = ("run", "scan", "single")


def workload(name: str, resident: int = 4000):
    """(step, fresh state, batches on the device) of one of the MNIST models on random images."""
    model, batch_size = MODELS[name]
    rng = np.random.default_rng(0)
    examples = {
        "image": rng.integers(0, 256, (resident, 28, 28, 1), dtype=np.uint8),
        "label": rng.integers(0, 10, resident).astype(np.int32),
    }

    def loss_fn(params, state, batch, key):
        x = batch["image"].astype(jnp.float32) / 255
        logits, state = model.apply(params, state, x, key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adam(1e-3)
    state = train.init_state(model.init, optimizer)
    batches = data.to_device(data.shuffled(examples, batch=batch_size))
    return train.make_train_step(loss_fn, optimizer), state, batches


def ways_to_run(step, batches, steps: int):
    """The three ways, each a function from state to state."""

    def scan_all(state, batches):
        return jax.lax.scan(lambda state, _: step.pure(state, batches(state.step)), state, length=steps)

    scanned = compile(scan_all, donate_argnums=(0,))
    draw = jax.jit(lambda batches, k: batches(k))

    def single(state):
        for k in range(steps):
            state, metrics = step(state, draw(batches, k))
            metrics["loss"].block_until_ready()
        return state

    def scan(state):
        state, metrics = scanned(state, batches)
        np.asarray(metrics["loss"])
        return state

    return {"run": lambda state: train.run(step, state, batches, steps)[0], "scan": scan, "single": single}


def measure(name: str, rounds: int) -> dict:
    """Median seconds a step of each way, and the ratios of the pairs."""
    steps = STEPS[name]
    step, state, batches = workload(name)
    ways = ways_to_run(step, batches, steps)
    times = {way: [] for way in WAYS}
    for _ in range(rounds + 2):  # the first two rounds warm up
        for way in WAYS:
            start = time.perf_counter()
            state = ways[way](state._replace(step=jnp.zeros((), jnp.int32)))
            times[way].append((time.perf_counter() - start) / steps)
    kept = {way: seconds[2:] for way, seconds in times.items()}
    ratio = lambda a, b: round(statistics.median(x / y for x, y in zip(kept[a], kept[b])), 3)
    return {
        "microseconds_per_step": {way: round(1e6 * statistics.median(kept[way]), 1) for way in WAYS},
        "run_over_scan": ratio("run", "scan"),
        "run_over_single": ratio("run", "single"),
    }


def main() -> None:
    """Measure all workloads, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    result = {"machine": {"processor": platform.machine(), "cpus": os.cpu_count(), "jax": jax.__version__}}
    for name in STEPS:
        result[name] = measure(name, options.rounds)
        print(name, json.dumps(result[name]))
    if options.record:
        options.record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
