"""The roof of the machine, and where the step of a workload stands under it."""

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import Training
from examples.benchmarks.harness import task
from examples.benchmarks.harness.children import CPU
from examples.benchmarks.harness.start import write_start
from examples.benchmarks.workloads import WORKLOADS

SIZES = tuple(2**power for power in range(16, 29, 2))  # bytes that a sum touches: from a cache of one core to memory
SIDE = 2048


def peak(rounds: int) -> float:
    """Floating-point operations a second of a large product, the best of so many."""
    a = jnp.ones((SIDE, SIDE))
    return 2 * SIDE**3 / min(seconds(jax.jit(jnp.matmul), rounds, a, a))


def bandwidths(rounds: int) -> dict[int, float]:
    """Bytes a second that x * 0.5 + y moves (two read, one written), by how many it touches in all."""
    scaled = jax.jit(lambda x, y: x * 0.5 + y)

    def many(count):
        return jax.jit(lambda x, y: jax.lax.fori_loop(0, count, lambda _, x: scaled(x, y), x))

    found = {}
    for size in SIZES:
        x, count = jnp.ones(size // 12), max(1, 2**28 // size)
        found[size] = size * count / statistics.median(seconds(many(count), rounds, x, x))
    return found


def seconds(f: Callable, rounds: int, *args) -> list[float]:
    """Times of a compiled function, after a first call."""
    jax.block_until_ready(f(*args))
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        jax.block_until_ready(f(*args))
        taken.append(time.perf_counter() - start)
    return taken


def cost(name: str) -> dict[str, float] | None:
    """Of one step: operations of its products, and bytes that its program reads and writes, touches and keeps.

    None where the unit of the workload is no step of training.  Moved bytes are XLA's count over fused operations,
    as if nothing stayed in a cache between two of them.
    """
    workload = WORKLOADS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "task.npz"
        write_start(path, workload, CPU.suite)
        file = importlib.import_module(f"{CPU.suite}.{workload.folder}.fdl_")
        program = file.build(task.read(path, workload))
    if not isinstance(program, Training):
        return None
    compiled = program.compiled()
    memory = compiled.memory_analysis()
    touched = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return {"flops": workload.flops, "moved": compiled.cost_analysis()["bytes accessed"], "touched": touched}
