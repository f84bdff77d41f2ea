"""The limit, by NumPy: the bare products of a unit of work, and nothing else."""

import numpy as np

from examples.benchmarks.harness.task import Program, Task

PACKAGES = ("numpy",)
ROWS = 16384  # a longer product is done in pieces, so that the limit needs little memory


def pieces(task: Task) -> list[tuple[int, int, int, int]]:
    """(times, m, k, n) of the products, none of them with m or k above ROWS."""
    cut = []
    for times, m, k, n in task.workload.products:
        parts = -(-max(m, k) // ROWS)
        cut.append((times * parts, -(-m // parts), k, n) if m >= k else (times * parts, m, -(-k // parts), n))
    return cut


def build(task: Task) -> Program:
    """Units of bare products; there is no loss."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape, np.float32)
    pairs = [(draw(times, m, k), draw(times, k, n)) for times, m, k, n in pieces(task)]
    outs = [a @ b for a, b in pairs]

    def run(units):
        for _ in range(units):
            for (a, b), out in zip(pairs, outs):
                np.matmul(a, b, out=out)
        return []

    return run
