"""64 learning rates at once and one after the other:  python -m examples.benchmarks.sweep [--rounds 5] [--record FILE]

The same steps of the same small perceptrons: all runs as one, `train.swept`; a `train.run` each, its program compiled
once, as the rate lies in the state; and a `train.run` with the rate as a number in its program, which compiles anew.
They take turns, and end the benchmark unless they arrive at the same losses.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from examples.benchmarks.harness.machine import machine
from fdl import data, losses, nn, optim, train

RUNS = 64
RATES = np.geomspace(1e-4, 1e-2, RUNS).astype(np.float32)
SIZES = {
    "2-8-2, batch 16": (2, 8, 2, 16),
    "64-32-10, batch 32": (64, 32, 10, 32),
    "784-32-10, batch 100": (784, 32, 10, 100),
}


def ways(in_dim: int, hidden: int, classes: int, batch: int, steps: int) -> dict[str, Callable[[], np.ndarray]]:
    """Each way trains all runs from the start and gives their last losses, (runs,)."""
    model = nn.serial(nn.dense(in_dim, hidden), nn.relu, nn.dense(hidden, classes))
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8 * batch, in_dim), np.float32)
    examples = {"x": x, "label": rng.integers(0, classes, len(x)).astype(np.int32)}
    batches = data.to_device(data.shuffled(examples, batch=batch))

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    tuned = optim.hyper(optim.adam(), "learning_rate")
    one, all_of_them = train.make_train_step(loss_fn, tuned), train.swept(train.make_train_step(loss_fn, tuned))

    def at_once():
        state = train.init_sweep(model.init, tuned, seeds=[0] * RUNS, learning_rate=RATES)
        return train.run(all_of_them, state, batches, steps)[1]["loss"][-1]

    def one_by_one():
        first = train.init_state(model.init, tuned)
        found = []
        for rate in RATES:
            state = jax.tree.map(lambda leaf: leaf.copy(), optim.set_hyper(first, learning_rate=float(rate)))
            found.append(train.run(one, state, batches, steps)[1]["loss"][-1])
        return np.stack(found)

    def compiled_each():
        found = []
        for rate in RATES[::16]:  # a sixteenth of the runs: they take so long
            optimizer = optim.adam(float(rate))
            step = train.make_train_step(loss_fn, optimizer)
            found.append(train.run(step, train.init_state(model.init, optimizer), batches, steps)[1]["loss"][-1])
        return np.stack(found)

    return {"at once": at_once, "one by one": one_by_one, "compiled each": compiled_each}


def measure(size: tuple[int, int, int, int], steps: int, rounds: int) -> dict:
    """Seconds for all runs, after the programs were made once; with the first seconds, which make them."""
    runs = ways(*size, steps)
    first, curves = {}, {}
    for name, run in runs.items():
        start = time.perf_counter()
        curves[name] = run()
        first[name] = time.perf_counter() - start
    same = [np.allclose(curves["at once"], curves["one by one"], rtol=1e-3)]
    same += [np.allclose(curves["at once"][::16], curves["compiled each"], rtol=1e-3)]
    if not all(same):
        sys.exit("the ways do not arrive at the same losses")
    seconds: dict[str, list[float]] = {"at once": [], "one by one": []}
    for _ in range(rounds):
        for name, found in seconds.items():
            start = time.perf_counter()
            runs[name]()
            found.append(time.perf_counter() - start)
    again = {name: statistics.median(found) for name, found in seconds.items()}
    again["compiled each"] = 16 * first["compiled each"]
    return {
        "steps": steps,
        "first_seconds": {"at once": first["at once"], "one by one": first["one by one"]},
        "seconds": again,
        "one by one / at once": again["one by one"] / again["at once"],
        "compiled each / first at once": again["compiled each"] / first["at once"],
    }


def main() -> None:
    """Measure all sizes, print and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    jax.config.update("jax_enable_compilation_cache", False)  # what is compiled is to be seen
    result: dict = {"machine": machine() | {"jax": jax.__version__}, "runs": RUNS}
    for name, size in SIZES.items():
        result[name] = measure(size, options.steps, options.rounds)
        print(name, json.dumps(result[name], indent=1), flush=True)
    if options.record:
        options.record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
