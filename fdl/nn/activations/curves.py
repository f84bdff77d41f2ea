"""More smooth activations: plain functions of an array that keep its shape and floating type."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.nn.activations.softplus import softplus
from fdl.nn.activations.standard import elu
from fdl.tree import widen

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def selu(x: ArrayLike) -> jax.Array:
    """scale x where x >= 0, scale alpha (exp(x) - 1) elsewhere; the derivative at 0 is scale (in torch scale alpha).

    The two constants keep mean 0 and variance 1 from layer to layer.  https://arxiv.org/abs/1706.02515
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: ArrayLike, alpha: float = 1.0) -> jax.Array:
    """x where x >= 0, alpha (exp(x / alpha) - 1) elsewhere: smooth for every alpha.  https://arxiv.org/abs/1704.07483"""
    if alpha <= 0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    return alpha * elu(jnp.asarray(x) / alpha)


def lecun_tanh(x: ArrayLike) -> jax.Array:
    """1.7159 tanh(2 x / 3): it is ±1 at ±1, and bends most near there.  LeCun et al. 1998, Efficient BackProp, §4.4"""
    return 1.7159 * jnp.tanh(jnp.asarray(x) * (2 / 3))


def soft_sign(x: ArrayLike) -> jax.Array:
    """x / (1 + |x|), which tends to -1 and 1 more slowly than tanh."""
    x = jnp.asarray(x)
    return x / (1 + jnp.abs(x))


def mish(x: ArrayLike) -> jax.Array:
    """x tanh(softplus(x)).  https://arxiv.org/abs/1908.08681"""
    return jnp.asarray(x) * jnp.tanh(softplus(x))


def squareplus(x: ArrayLike, b: float = 4.0) -> jax.Array:
    """(x + sqrt(x² + b)) / 2, without cancellation for x < 0.  https://arxiv.org/abs/2112.11687

    Like softplus, but algebraic.  Raises ValueError for b <= 0; b = 0 would be relu.
    """
    if b <= 0:
        raise ValueError(f"b must be positive, got {b}; for b = 0 use relu")
    x = jnp.asarray(x)
    wide = widen(x)
    size = jnp.abs(wide)
    larger = (size + jnp.sqrt(wide * wide + b)) / 2
    return jnp.where(wide < 0, b / (4 * larger), larger).astype(x.dtype)


def log1mexp(x: ArrayLike) -> jax.Array:
    """log(1 - exp(-x)) for x > 0, exact for small and large x; -inf at 0, NaN below.

    Mächler 2012, Accurately computing log(1 - exp(-|a|)), equation 7.
    """
    x = jnp.asarray(x)
    small = x < math.log(2)
    # Each branch sees a harmless number where the other one is taken, so that no gradient becomes NaN.
    near = jnp.log(-jnp.expm1(-jnp.where(small, x, 1)))
    far = jnp.log1p(-jnp.exp(-jnp.where(small, 1, x)))
    return jnp.where(small, near, far)


def tanh_shrink(x: ArrayLike) -> jax.Array:
    """x - tanh(x), about x³ / 3 near 0, where it is as exact as a difference can be."""
    return jnp.asarray(x) - jnp.tanh(x)


def softcap(x: ArrayLike, cap: float) -> jax.Array:
    """cap tanh(x / cap): x near 0, and never beyond ±cap.  For logits, as in https://arxiv.org/abs/2408.00118"""
    if cap <= 0:
        raise ValueError(f"cap must be positive, got {cap}")
    return cap * jnp.tanh(jnp.asarray(x) / cap)
