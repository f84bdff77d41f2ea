"""Layers: pairs of pure functions, and the ways to put them together.  Start reading at layer.py."""

from fdl.nn.activations import (
    elu,
    gelu,
    identity,
    leaky_relu,
    lecture_leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from fdl.nn.compose import parallel, remat, repeat, residual, serial, wire
from fdl.nn.conv import conv
from fdl.nn.convolve import convolve
from fdl.nn.dense import dense, embedding, flatten, maxout, parameter
from fdl.nn.initializers import (
    Initializer,
    constant,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    initializer,
    lecun_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    sparse,
    truncated_normal,
    uniform,
    variance_scaling,
    zeros,
)
from fdl.nn.layer import Layer, Params, State, as_layer, function, layer, pure
from fdl.nn.noise import dropout, gaussian_noise
from fdl.nn.norm import batch_norm, layer_norm
from fdl.nn.pooling import average_pool, global_average_pool, global_max_pool, max_pool

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
    "remat",
    # layers
    "dense",
    "maxout",
    "embedding",
    "parameter",
    "flatten",
    "conv",
    "convolve",
    "max_pool",
    "average_pool",
    "global_max_pool",
    "global_average_pool",
    "batch_norm",
    "layer_norm",
    "dropout",
    "gaussian_noise",
    # activations
    "identity",
    "sigmoid",
    "log_sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "lecture_leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "softmax",
    "log_softmax",
    # initializers
    "Initializer",
    "initializer",
    "zeros",
    "ones",
    "constant",
    "normal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "orthogonal",
    "sparse",
]
