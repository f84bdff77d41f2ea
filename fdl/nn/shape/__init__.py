"""Functions and layers that move values, or interpolate between them, and train none."""

from fdl.nn.shape.border import crop, pad
from fdl.nn.shape.reshape import flatten, reshape
from fdl.nn.shape.resize import upsample
from fdl.nn.shape.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from fdl.nn.shape.windows import fold, unfold

__all__ = [
    "flatten",
    "reshape",
    "pad",
    "crop",
    "upsample",
    "channel_shuffle",
    "pixel_shuffle",
    "pixel_unshuffle",
    "unfold",
    "fold",
]
