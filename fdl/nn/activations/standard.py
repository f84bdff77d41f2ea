"""Activations: plain functions of an array, so that they pickle and print by name.

Each keeps the shape and the floating type of its input.  Softmax and its logarithm compute in float32 at least.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

Axis = int | tuple[int, ...]


def identity(x: jax.Array) -> jax.Array:
    """x itself: a linear output."""
    return x


def sigmoid(x: ArrayLike) -> jax.Array:
    """1 / (1 + exp(-x)), without overflow."""
    return jax.nn.sigmoid(x)


def tanh(x: ArrayLike) -> jax.Array:
    """Hyperbolic tangent, 2 sigmoid(2x) - 1."""
    return jnp.tanh(x)


def relu(x: ArrayLike) -> jax.Array:
    """max(0, x); the derivative at 0 is 0, and NaN stays NaN."""
    return _relu(jnp.asarray(x))


@jax.custom_jvp
def _relu(x):
    # A choice between two arrays is computed once.  A maximum, and the sum before it, XLA on a CPU computes again in
    # each element-wise use: in a residual net, all blocks before.  The slope is read off the output, which is there.
    return jnp.where(x <= 0, jnp.zeros_like(x), x)


_relu.defjvps(lambda tangent, y, x: jnp.where(y > 0, tangent, jnp.zeros_like(tangent)))


def leaky_relu(x: ArrayLike, slope: float = 0.01) -> jax.Array:
    """max(slope x, x); the derivative at 0 is slope.  Maas et al. 2013.

    Raises ValueError for slope >= 1, where the maximum would be the other branch.
    """
    if slope >= 1:
        raise ValueError(f"slope must be below 1, got {slope}; max(slope * x, x) is no leaky ReLU beyond")
    return jnp.where(jnp.asarray(x) > 0, x, slope * jnp.asarray(x))


def lecture_leaky_relu(x: ArrayLike) -> jax.Array:
    """max(0.1 x, x): the leaky ReLU with the slope of the lecture."""
    return leaky_relu(x, 0.1)


def elu(x: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """x where x >= 0, alpha (exp(x) - 1) elsewhere; the derivative at 0 is 1.  https://arxiv.org/abs/1511.07289"""
    x = jnp.asarray(x)
    # The branch not taken must not overflow: its infinite derivative times zero would be NaN.
    return jnp.where(x >= 0, x, alpha * jnp.expm1(jnp.where(x >= 0, jnp.zeros_like(x), x)))


def gelu(x: ArrayLike, approximate: bool = True) -> jax.Array:
    """x times the normal distribution function of x; by its tanh form if approximate.  https://arxiv.org/abs/1606.08415"""
    return jax.nn.gelu(x, approximate=approximate)


def silu(x: ArrayLike) -> jax.Array:
    """x sigmoid(x), also called swish.  https://arxiv.org/abs/1702.03118"""
    return jax.nn.silu(x)


def softmax(x: ArrayLike, axis: Axis = -1) -> jax.Array:
    """exp(x) / sum exp(x) along axis.  A row of nothing but -inf has no softmax and becomes NaN."""
    return _at_least_float32(jax.nn.softmax, x, axis)


def log_softmax(x: ArrayLike, axis: Axis = -1) -> jax.Array:
    """log(softmax(x)) along axis, finite where the softmax itself would be 0."""
    return _at_least_float32(jax.nn.log_softmax, x, axis)


def _at_least_float32(function, x: ArrayLike, axis: Axis) -> jax.Array:
    x = jnp.asarray(x)
    narrow = jnp.issubdtype(x.dtype, jnp.floating) and jnp.finfo(x.dtype).bits < 32
    return function(x.astype(jnp.float32), axis=axis).astype(x.dtype) if narrow else function(x, axis=axis)
