"""What the card can do, measured:  python -m examples.benchmarks.gpu.rates  prints JSON."""

import json
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

SIZE = 8192
TIMES, ROUNDS = 20, 9


def seconds(f: Callable[[], jax.Array]) -> float:
    """Of one call, the median over rounds of many."""
    f().block_until_ready()
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(TIMES):
            y = f()
        y.block_until_ready()
        found.append((time.perf_counter() - start) / TIMES)
    return statistics.median(found)


def rates(size: int = SIZE) -> dict:
    """Products of random bfloat16 matrices, and a copy: bytes read and written."""
    a, b = (jax.random.normal(jax.random.key(i), (size, size), jnp.bfloat16) for i in range(2))
    product, copy = jax.jit(jnp.matmul), jax.jit(jnp.copy)
    long = jax.random.bits(jax.random.key(2), (16 * size * size,), jnp.uint32)
    return {
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "size": size,
        "bf16_flops_per_second": 2 * size**3 / seconds(lambda: product(a, b)),
        "copy_bytes_per_second": 2 * long.nbytes / seconds(lambda: copy(long)),
    }


if __name__ == "__main__":
    print(json.dumps(rates()))
