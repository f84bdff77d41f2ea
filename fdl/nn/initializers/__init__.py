"""First values of parameters: functions of (key, shape)."""

from fdl.nn.initializers.identity import delta_orthogonal, dirac, eye, gain
from fdl.nn.initializers.lsuv import lsuv
from fdl.nn.initializers.standard import (
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

__all__ = [
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
    "eye",
    "dirac",
    "delta_orthogonal",
    "gain",
    "lsuv",
]
