"""The limit, by XLA: the bare products of a unit of work, jitted."""

import jax

from examples.benchmarks.frameworks.numpy_ import bare
from examples.benchmarks.harness.task import Program, Task

PACKAGES = ("jax",)
APART = 16  # up to so many equal products are written out, more are one batched product


def build(task: Task) -> Program:
    """Units of bare products; there is no loss."""

    def product(a, b):
        return [x @ y for x, y in zip(a, b)] if len(a) <= APART else a @ b

    @jax.jit
    def products(factors):
        return [product(a, b) for a, b in factors]

    together: dict[int, list] = {}  # by repeats: those done once are one program
    for one in map(bare, task.workload.products):
        together.setdefault(one.repeats, []).append(jax.device_put(one.factors()))

    def run(units):
        for _ in range(units):
            for repeats, factors in together.items():
                for _ in range(repeats):
                    jax.block_until_ready(products(factors))
        return []

    return run
