"""Layers that summarise windows of space."""

from fdl.nn.pooling.pool import average_pool, global_average_pool, global_max_pool, max_pool

__all__ = [
    "max_pool",
    "average_pool",
    "global_max_pool",
    "global_average_pool",
]
