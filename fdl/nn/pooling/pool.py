"""Layers that summarise windows of space."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling import window as windows
from fdl.tree import widen

Size = int | Sequence[int]


@layer
def max_pool(window: Size, *, stride: Size | None = None, padding: str | Size = "valid") -> Layer:
    """The largest value in each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window."""
    return pure(_nothing, lambda params, x: windows.max_pool(x, window, stride=stride, padding=padding))


@layer
def average_pool(
    window: Size, *, stride: Size | None = None, padding: str | Size = "valid", count_padding: bool = False
) -> Layer:
    """The mean of each window.  (batch, *space, dim) -> (batch, *positions, dim)  stride=None: the window.

    Padding is left out of the mean unless count_padding.
    """
    return pure(
        _nothing,
        lambda params, x: windows.average_pool(x, window, stride=stride, padding=padding, count_padding=count_padding),
    )


def global_max_pool(x: jax.Array) -> jax.Array:
    """The largest value over space.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.max(x, axis=_space(x))


def global_average_pool(x: jax.Array) -> jax.Array:
    """The mean over space, summed in float32 at least.  (batch, *space, dim) -> (batch, dim)"""
    return jnp.mean(widen(x), axis=_space(x)).astype(x.dtype)


def _space(x: jax.Array) -> tuple[int, ...]:
    if x.ndim < 3:
        raise ShapeError(f"global pooling needs (batch, *space, dim), got {x.shape}")
    return tuple(range(1, x.ndim - 1))


def _nothing(key: jax.Array) -> dict:
    return {}
