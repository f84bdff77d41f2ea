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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.benchmarks.optimizer_update.ways import RATE, Way, parameters, ways
from fdl import optim, train, tree
from fdl.compile import compile, compiler_options

TURN = 5e-3  # seconds: so that one interruption is not one of the times
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
    """Seconds of each call, taken in another order each round; a turn is as many calls as fill TURN seconds.

    The first round only counts these.
    """
    rng, seconds = np.random.default_rng(0), {name: [] for name in calls}
    counts = {name: max(1, round(TURN / once(call, 3))) for name, call in calls.items()}
    for _ in range(rounds):
        for name in rng.permutation(list(calls)):
            seconds[name].append(once(calls[name], counts[name]))
    return seconds


def once(call: Callable[[], Any], count: int) -> float:
    """Seconds of one call, the mean over so many."""
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


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

        def one():
            carry[0], metrics = run(carry[0], batch)
            jax.block_until_ready((carry[0], metrics))

        return one

    seconds = in_turn({"step": way(step), "bare": way(bare)}, rounds)
    return {
        "step_us": round(1e6 * statistics.median(seconds["step"]), 1),
        "step / bare": ratio(seconds, "step", "bare"),
    }


def call_overhead(rounds: int = 100) -> float:
    """Microseconds that `compile` adds to a call of jax.jit with a dict of ten arrays."""
    arrays = {f"x{i}": jnp.ones(3) for i in range(10)}
    f = lambda arrays: jax.tree.map(lambda x: x + 1, arrays)
    options = compiler_options(jax.default_backend())
    ours, bare = compile(f), jax.jit(f, compiler_options=options)
    wait = lambda run: lambda: jax.block_until_ready(run(arrays))
    seconds = in_turn({"ours": wait(ours), "bare": wait(bare)}, rounds)
    return round(1e6 * float(np.median(np.subtract(seconds["ours"], seconds["bare"]))), 2)


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
