"""Initializers that start a layer as the identity, or as a rotation; and the gain that suits an activation."""

import math
from typing import Any, Literal

import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.initializers.standard import initializer, orthogonal

GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}


@initializer
def eye(scale: float = 1.0) -> Any:
    """scale times the identity, with ones along the diagonal of a kernel (in, out); needs no key."""

    def init(key, shape, dtype=jnp.float32):
        if len(shape) != 2:
            raise ShapeError(f"eye makes a kernel (in, out), got {tuple(shape)}; for a convolution use dirac()")
        return (scale * jnp.eye(*shape)).astype(dtype)

    return init


@initializer
def dirac(groups: int = 1) -> Any:
    """The convolution that passes each channel on as it is, (*window, in / groups, out); needs no key.

    With padding "same" and stride 1 its output is its input; channels beyond those of the other side are zero or lost.
    Raises ShapeError for fewer than three axes, or where groups do not divide out.
    """

    def init(key, shape, dtype=jnp.float32):
        in_dim, out_dim = _channels(shape, "dirac")
        if out_dim % groups:
            raise ShapeError(f"groups must divide the outputs, got {groups} groups of {out_dim}")
        centre = jnp.tile(jnp.eye(in_dim, out_dim // groups, dtype=dtype), (1, groups))
        return jnp.zeros(shape, dtype).at[_middle(shape)].set(centre)

    return init


@initializer
def delta_orthogonal(scale: float = 1.0) -> Any:
    """A convolution that is orthogonal(scale) in the middle of the window and zero around it.

    It keeps lengths, which deep plain convolutions need to pass gradients on.  https://arxiv.org/abs/1806.05393
    Raises ShapeError for fewer than three axes, or for more inputs than outputs, where no map keeps all lengths.
    """
    draw = orthogonal(scale)

    def init(key, shape, dtype=jnp.float32):
        in_dim, out_dim = _channels(shape, "delta_orthogonal")
        if in_dim > out_dim:
            raise ShapeError(f"delta_orthogonal needs as many outputs as inputs or more, got {in_dim} to {out_dim}")
        return jnp.zeros(shape, dtype).at[_middle(shape)].set(draw(key, (in_dim, out_dim), dtype))

    return init


def gain(activation: Literal["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu"], slope: float = 0.01) -> float:
    """The factor on the standard deviation of a kernel that suits the activation after it, as torch recommends.

    slope is that of leaky_relu.  For example orthogonal(gain("relu")).
    """
    if activation == "leaky_relu":
        return math.sqrt(2 / (1 + slope**2))
    if activation not in GAINS:
        names = ", ".join(map(repr, (*GAINS, "leaky_relu")))
        raise ValueError(f"activation must be one of {names}, got {activation!r}")
    return GAINS[activation]


def _channels(shape: Any, name: str) -> tuple[int, int]:
    if len(shape) < 3:
        raise ShapeError(f"{name} makes a kernel (*window, in, out), got {tuple(shape)}; for a dense one use eye()")
    return shape[-2], shape[-1]


def _middle(shape: Any) -> tuple[int, ...]:
    """The cell of the window that lies on the output under padding "same"."""
    return tuple((size - 1) // 2 for size in shape[:-2])
