"""Layers that share a kernel over space."""

from fdl.nn.convolution.conv import conv
from fdl.nn.convolution.primitive import convolve

__all__ = [
    "conv",
    "convolve",
]
