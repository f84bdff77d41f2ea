"""Functions that move values and compute none."""

from fdl.nn.shape.reshape import flatten

__all__ = [
    "flatten",
]
