"""The limit, by NumPy: the bare products of a unit of work, and nothing else."""

from typing import NamedTuple

import numpy as np

from examples.benchmarks.harness.task import Program, Task
from examples.benchmarks.workload import Product

PACKAGES = ("numpy",)
ROWS = 2**14  # a longer product is done in pieces
ROOM = 2**24  # numbers that equal products may hold; beyond, the same ones are done again


class Bare(NamedTuple):
    """`repeats` times `distinct` products (m, k) @ (k, n)."""

    repeats: int
    distinct: int
    m: int
    k: int
    n: int

    def factors(self) -> tuple[np.ndarray, np.ndarray]:
        """Random factors."""
        rng = np.random.default_rng(0)
        draw = lambda *shape: rng.standard_normal((self.distinct, *shape), np.float32)
        return draw(self.m, self.k), draw(self.k, self.n)


def bare(product: Product) -> Bare:
    """The product in pieces and repeats that need little memory."""
    times, m, k, n = product
    pieces = -(-max(m, k) // ROWS)
    m, k = (-(-m // pieces), k) if m >= k else (m, -(-k // pieces))
    times *= pieces
    fitting = max(1, ROOM // (m * k + k * n + m * n))
    distinct = max(d for d in range(1, min(times, fitting) + 1) if times % d == 0)
    return Bare(times // distinct, distinct, m, k, n)


def build(task: Task) -> Program:
    """Units of bare products; there is no loss."""
    products = [bare(product) for product in task.workload.products]
    factors = [product.factors() for product in products]
    results = [a @ b for a, b in factors]

    def run(units):
        for _ in range(units):
            for product, (a, b), result in zip(products, factors, results):
                for _ in range(product.repeats):
                    np.matmul(a, b, out=result)
        return []

    return run
