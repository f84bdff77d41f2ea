"""Layers: pairs of pure functions, and the ways to put them together.  Start reading at layer.py.

Each room lists its own public names; all of them are names of `fdl.nn`.
"""

from fdl.nn import (
    activations,
    adapters,
    convolution,
    initializers,
    linear,
    noise,
    normalization,
    pooling,
    recurrent,
    shape,
    transformer,
)
from fdl.nn.activations import *
from fdl.nn.adapters import *
from fdl.nn.compose import each, parallel, remat, repeat, residual, serial, wire
from fdl.nn.convolution import *
from fdl.nn.initializers import *
from fdl.nn.layer import Layer, Params, State, as_layer, function, layer, pure
from fdl.nn.linear import *
from fdl.nn.noise import *
from fdl.nn.normalization import *
from fdl.nn.pooling import *
from fdl.nn.recurrent import *
from fdl.nn.rewire import rewire
from fdl.nn.shape import *
from fdl.nn.transformer import *
from fdl.nn.unstack import unstack

__all__ = [
    # the contract
    "Layer",
    "Params",
    "State",
    "layer",
    "pure",
    "function",
    "as_layer",
    # composition
    "wire",
    "serial",
    "residual",
    "parallel",
    "repeat",
    "each",
    "remat",
    "rewire",
    "unstack",
]
__all__ += linear.__all__
__all__ += shape.__all__
__all__ += convolution.__all__
__all__ += pooling.__all__
__all__ += normalization.__all__
__all__ += noise.__all__
__all__ += activations.__all__
__all__ += initializers.__all__
__all__ += recurrent.__all__
__all__ += transformer.__all__
__all__ += adapters.__all__
