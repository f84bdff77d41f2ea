"""Layers that summarise windows of space."""

from fdl.nn.pooling.adaptive import adaptive_average_pool, adaptive_max_pool
from fdl.nn.pooling.pool import (
    average_pool,
    global_average_pool,
    global_max_pool,
    global_min_pool,
    global_sum_pool,
    lp_pool,
    max_pool,
    min_pool,
    subsampling,
    sum_pool,
)
from fdl.nn.pooling.probabilistic import probabilistic_max_pool, sample_probabilistic_max_pool
from fdl.nn.pooling.unpool import max_pool_with_indices, max_unpool

__all__ = [
    "max_pool",
    "min_pool",
    "average_pool",
    "sum_pool",
    "lp_pool",
    "subsampling",
    "adaptive_max_pool",
    "adaptive_average_pool",
    "global_max_pool",
    "global_min_pool",
    "global_average_pool",
    "global_sum_pool",
    "max_pool_with_indices",
    "max_unpool",
    "probabilistic_max_pool",
    "sample_probabilistic_max_pool",
]
