"""Widrow and Hoff's ADALINE, which learns from its error before the threshold, and MADALINE, a vote of several.

The kernel holds the bias too, as the weight of an input that is always 1: see `with_bias`.  Updates are for
`learn_online`.  Widrow and Hoff 1960, Adaptive Switching Circuits; Widrow and Lehr 1990, 30 Years of Adaptive Neural
Networks: Perceptron, Madaline, and Backpropagation.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_shape


def lms_update(
    kernel: jax.Array, x: jax.Array, target: jax.Array, *, rate: float | jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Add 2 · rate · error · x, the error being target - x · kernel.  (dim, ...), (dim,), (...) -> kernel, error

    That is -rate times the gradient of the squared error.  Stable on average for 0 < rate < 1 / the largest eigenvalue
    of the inputs' correlation.  With an axis after dim there is one unit for each of its entries.
    """
    error = target - x @ kernel
    return kernel + 2 * rate * jnp.multiply.outer(x, error), error


def adaline(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """The sign of x · kernel, 1 at 0.  (dim, ...), (..., dim) -> (...)"""
    return jnp.where(x @ kernel >= 0, 1.0, -1.0)


def correlation(x: ArrayLike) -> jax.Array:
    """R, the mean of x xᵀ over the examples; no mean is taken off.  (n, dim) -> (dim, dim)"""
    require_shape(x, None, None)
    x = jnp.asarray(x)
    return x.T @ x / len(x)


def time_constants(correlation: jax.Array, rate: float) -> jax.Array:
    """Examples in which each mode of the squared error falls to 1/e, slowest first: 1 / (4 rate λ).  -> (dim,)"""
    return 1 / (4 * rate * jnp.linalg.eigvalsh(correlation))


def misadjustment(correlation: jax.Array, rate: float) -> jax.Array:
    """How much LMS ends above the smallest mean squared error, as a fraction of it: rate tr R / (1 - rate tr R)."""
    noise = rate * jnp.trace(correlation)
    return noise / (1 - noise)


def madaline(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """The majority of an odd number of ADALINEs, -1 or 1.  (dim, units), (..., dim) -> (...)"""
    return jnp.where(adaline(kernel, x).sum(-1) > 0, 1.0, -1.0)


def minimum_disturbance_update(
    kernel: jax.Array, x: jax.Array, target: jax.Array, *, rate: float = 1.0
) -> tuple[jax.Array, jax.Array]:
    """Turn as few ADALINEs as the majority needs to be right, those nearest to turning.

    (dim, units), (dim,), () -> kernel, whether the majority was wrong

    With rate 1 the sum of each that is turned becomes the target, -1 or 1.  This is MADALINE's rule I, of 1962.
    """
    sums = x @ kernel
    right = adaline(kernel, x) == target
    missing = (len(sums) + 1) // 2 - right.sum()
    nearness = jnp.argsort(jnp.argsort(jnp.where(right, jnp.inf, jnp.abs(sums))))
    error = jnp.where(nearness < missing, target - sums, 0)
    return kernel + rate * jnp.outer(x, error) / (x @ x), missing > 0
