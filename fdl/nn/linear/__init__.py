"""Layers that are products and tables."""

from fdl.nn.linear.dense import dense, maxout, parameter
from fdl.nn.linear.embedding import embedding

__all__ = [
    "dense",
    "maxout",
    "parameter",
    "embedding",
]
