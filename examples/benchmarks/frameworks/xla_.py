"""The limit, by XLA: the bare products of a unit of work in one jitted program."""

import jax

from examples.benchmarks.frameworks.numpy_ import pieces
from examples.benchmarks.harness.task import Program, Task

PACKAGES = ("jax",)
APART = 16  # up to so many equal products are written out, more are one batched product


def build(task: Task) -> Program:
    """Units of bare products; there is no loss."""

    def product(times, a, b):
        return [a[i] @ b[i] for i in range(times)] if times <= APART else a @ b

    shapes = pieces(task)
    draw = lambda i, *shape: jax.random.normal(jax.random.key(i), shape)
    pairs = [(draw(0, times, m, k), draw(1, times, k, n)) for times, m, k, n in shapes]

    @jax.jit
    def unit(pairs):
        return [product(times, a, b) for (times, *_), (a, b) in zip(shapes, pairs)]

    def run(units):
        for _ in range(units):
            jax.block_until_ready(unit(pairs))
        return []

    return run
