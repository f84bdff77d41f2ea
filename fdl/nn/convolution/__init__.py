"""Layers that slide a kernel over space."""

from fdl.nn.convolution.conv import causal_conv, conv, depthwise_conv, separable_conv
from fdl.nn.convolution.local import local_conv
from fdl.nn.convolution.masked import masked_conv
from fdl.nn.convolution.primitive import convolve, convolve_transpose
from fdl.nn.convolution.transpose import conv_transpose

__all__ = [
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "separable_conv",
    "causal_conv",
    "masked_conv",
    "local_conv",
    "convolve",
    "convolve_transpose",
]
