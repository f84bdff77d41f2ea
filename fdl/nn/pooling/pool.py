"""Layers that summarise windows of space, and functions that summarise all of it."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.nn.channels import per_channel
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling import window as windows
from fdl.nn.pooling.window import Padding
from fdl.tree import widen

Size = int | Sequence[int]


@layer
def max_pool(window: Size, *, stride: Size | None = None, padding: Padding = "valid") -> Layer:
    """The largest value in each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window."""
    return pure(_nothing, lambda params, x: windows.max_pool(x, window, stride=stride, padding=padding))


@layer
def min_pool(window: Size, *, stride: Size | None = None, padding: Padding = "valid") -> Layer:
    """The smallest value in each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window."""
    return pure(_nothing, lambda params, x: -windows.max_pool(-x, window, stride=stride, padding=padding))


@layer
def average_pool(
    window: Size, *, stride: Size | None = None, padding: Padding = "valid", count_padding: bool = False
) -> Layer:
    """The mean of each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window.

    Padding is left out of the mean unless count_padding.
    """
    return pure(
        _nothing,
        lambda params, x: windows.average_pool(x, window, stride=stride, padding=padding, count_padding=count_padding),
    )


@layer
def sum_pool(window: Size, *, stride: Size | None = None, padding: Padding = "valid") -> Layer:
    """The sum of each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window."""
    return pure(_nothing, lambda params, x: windows.sum_pool(x, window, stride=stride, padding=padding))


@layer
def lp_pool(window: Size, *, order: float = 2, stride: Size | None = None, padding: Padding = "valid") -> Layer:
    """The norm (sum |x|^order)^(1 / order) of each window.  (batch, *space, dim) -> (batch, *positions, dim)

    stride=None: the window.  The gradient of a window of zeros is zero.  torch leaves the absolute value out, which
    differs for odd orders of negative values.  Raises ValueError for an order below 1.
    """
    if not 1 <= order < math.inf:
        raise ValueError(f"order must be a finite number of at least 1, got {order}; for infinity take max_pool of |x|")

    def apply(params, x):
        windows.rank_of(x)
        wide = widen(x)
        size = wide * jax.lax.stop_gradient(jnp.sign(wide))  # |x| with slope 0 at 0
        total = windows.sum_pool(size**order, window, stride=stride, padding=padding)
        some = total > 0
        return jnp.where(some, jnp.where(some, total, 1) ** (1 / order), 0).astype(x.dtype)

    return pure(_nothing, apply)


@layer
def subsampling(dim: int, window: Size = 2) -> Layer:
    """The sum of each window times a trained coefficient, plus a bias, by channel.

    (batch, *space, dim) -> (batch, *positions, dim); a single number is a square window on images.  It starts as the
    mean.  Put a sigmoid after it for LeNet-5: LeCun et al. 1998, Gradient-based learning, section II.B.
    """
    window = (window, window) if isinstance(window, int) else tuple(window)

    def init(key):
        return {"scale": jnp.full(dim, 1 / math.prod(window)), "bias": jnp.zeros(dim)}

    def apply(params, x):
        require_shape(x, *(None,) * (len(window) + 1), dim)
        total = windows.sum_pool(x, window)
        return total * per_channel(params["scale"], total) + per_channel(params["bias"], total)

    return pure(init, apply)


def global_max_pool(x: jax.Array) -> jax.Array:
    """The largest value over space.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.max(x, axis=_space(x))


def global_min_pool(x: jax.Array) -> jax.Array:
    """The smallest value over space.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.min(x, axis=_space(x))


def global_average_pool(x: jax.Array) -> jax.Array:
    """The mean over space, summed in float32 at least.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.mean(widen(x), axis=_space(x)).astype(x.dtype)


def global_sum_pool(x: jax.Array) -> jax.Array:
    """The sum over space, in float32 at least.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.sum(widen(x), axis=_space(x)).astype(x.dtype)


def _space(x: jax.Array) -> tuple[int, ...]:
    return tuple(range(1, windows.rank_of(x) + 1))


def _nothing(key: jax.Array) -> dict:
    return {}
