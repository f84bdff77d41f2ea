"""Activations made of straight pieces: plain functions of an array, and prelu, whose slope is trained.

Where two pieces meet, the derivative is that of torch.  NaN stays NaN.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.initializers.standard import Initializer, constant
from fdl.nn.layer import Layer, layer, pure


def hard_tanh(x: ArrayLike, low: float = -1.0, high: float = 1.0) -> jax.Array:
    """x cut off at low and high; the derivative at both is 0."""
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")
    x = jnp.asarray(x)
    return jnp.where(x <= low, low, jnp.where(x >= high, high, x))


def relu6(x: ArrayLike) -> jax.Array:
    """min(max(0, x), 6).  Krizhevsky 2010, Convolutional Deep Belief Networks on CIFAR-10."""
    return hard_tanh(x, 0.0, 6.0)


def hard_sigmoid(x: ArrayLike) -> jax.Array:
    """min(max(0, x + 3), 6) / 6.  (Keras before version 3 had slope 0.2.)"""
    return relu6(jnp.asarray(x) + 3) / 6


def hard_silu(x: ArrayLike) -> jax.Array:
    """x hard_sigmoid(x), also called hard swish.  https://arxiv.org/abs/1905.02244"""
    return jnp.asarray(x) * hard_sigmoid(x)


def hard_shrink(x: ArrayLike, cut: float = 0.5) -> jax.Array:
    """x where |x| > cut, 0 elsewhere."""
    x = jnp.asarray(x)
    return jnp.where(jnp.abs(x) <= _not_negative(cut), 0, x)


def soft_shrink(x: ArrayLike, cut: float = 0.5) -> jax.Array:
    """x moved towards 0 by cut, and 0 where |x| <= cut: the proximal map of cut |x|."""
    x = jnp.asarray(x)
    return jnp.where(jnp.abs(x) <= _not_negative(cut), 0, x - cut * jnp.sign(x))


def threshold(x: ArrayLike, cut: float, value: float = 0.0) -> jax.Array:
    """x where x > cut, value elsewhere."""
    x = jnp.asarray(x)
    return jnp.where(x <= cut, value, x)


@layer
def prelu(dim: int, *, slope_init: Initializer = constant(0.25)) -> Layer:
    """x where x > 0, slope x elsewhere, with a trained slope for each channel.  (..., dim) -> same shape

    The derivative at 0 is the slope.  Let no weight decay pull it to 0.  https://arxiv.org/abs/1502.01852
    """

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., dim)
        return jnp.where(x > 0, x, per_channel(params["slope"], x) * x)

    return pure(lambda key: {"slope": slope_init(key, (dim,))}, apply)


def _not_negative(cut: float) -> float:
    if cut < 0:
        raise ValueError(f"cut is a distance from 0, 0 or more, got {cut}")
    return cut
