"""Activations that look along an axis: gates, distributions with zeros, unit vectors."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError
from fdl.nn.activations.standard import Axis, sigmoid, softmax
from fdl.tree import widen


def glu(x: ArrayLike, axis: int = -1) -> jax.Array:
    """The first half of axis times the sigmoid of the second.  (..., 2 dim) -> (..., dim)

    https://arxiv.org/abs/1612.08083.  Raises ShapeError for an odd number of values.
    """
    x = jnp.asarray(x)
    if x.shape[axis] % 2:
        raise ShapeError(f"axis {axis} must have an even size to be halved, got shape {x.shape}")
    value, gate = jnp.split(x, 2, axis)
    return value * sigmoid(gate)


def softmin(x: ArrayLike, axis: Axis = -1) -> jax.Array:
    """softmax(-x): the smallest value gets the most."""
    return softmax(-jnp.asarray(x), axis)


def sparsemax(x: ArrayLike, axis: int = -1) -> jax.Array:
    """The nearest point to x among distributions along axis: like softmax, with true zeros.

    https://arxiv.org/abs/1602.02068, algorithm 1.  Computed in float32 at least.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    shifted = wide - jax.lax.stop_gradient(jnp.max(wide, axis, keepdims=True))  # the result is the same
    # ~(<=) and not >, so that NaN stays.
    support = ~(shifted <= _cut(jax.lax.stop_gradient(shifted), axis))
    total = jnp.sum(jnp.where(support, shifted, 0), axis, keepdims=True)
    cut = (total - 1) / jnp.sum(support, axis, keepdims=True, dtype=wide.dtype)
    return jnp.where(support, shifted - cut, 0).astype(x.dtype)


def unit(x: ArrayLike, axis: Axis = -1) -> jax.Array:
    """x divided by its Euclidean length along axis; zeros stay zeros, with gradient 0.

    Lengths whose square overflows or underflows are no trouble.  Computed in float32 at least.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(wide), axis, keepdims=True, initial=0))
    still = largest == 0
    # A unit vector does not depend on the factor taken out, so neither does its gradient.
    scaled = wide / jnp.where(still, 1, largest)
    square = jnp.sum(jnp.square(scaled), axis, keepdims=True)
    return jnp.where(still, 0, scaled / jnp.sqrt(jnp.where(still, 1, square))).astype(x.dtype)


def _cut(x: jax.Array, axis: int) -> jax.Array:
    """What to subtract so that the positive rest sums to one, found among the sorted values."""
    order = -jnp.sort(-jnp.moveaxis(x, axis, -1), -1)
    ranks = jnp.arange(1, x.shape[axis] + 1, dtype=x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    sums = jnp.cumsum(order, -1)
    count = jnp.maximum(jnp.sum(1 + ranks * order > sums, -1, keepdims=True), 1)
    cut = (jnp.take_along_axis(sums, count - 1, -1) - 1) / count.astype(x.dtype)
    return jnp.moveaxis(cut, -1, axis)
