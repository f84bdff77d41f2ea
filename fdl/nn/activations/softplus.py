"""softplus, and the logarithm of the sigmoid, which is its mirror image."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.tree import widen

TERMS = 7  # of the series, for 24 bits


def softplus(x: ArrayLike) -> jax.Array:
    """log(1 + exp(x)), without overflow, and exact in both tails."""
    x = jnp.asarray(x)
    return _softplus(x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float))


def log_sigmoid(x: ArrayLike) -> jax.Array:
    """log(sigmoid(x)), exact where the sigmoid itself would be 0 or 1."""
    return -softplus(-jnp.asarray(x))


def _log1p(e):
    """log(1 + e) for e in [0, 1], as 2 artanh(e / (2 + e)): a third of the time of XLA's on a CPU."""
    if e.dtype == jnp.float64:
        return jnp.log1p(e)
    z = e / (2 + e)
    odd = [1 / (2 * i + 1) for i in range(TERMS)]
    return 2 * z * jnp.polyval(jnp.array(odd[::-1], e.dtype), z * z)


@jax.custom_jvp
def _softplus(x):
    wide = widen(x)
    small = _log1p(jnp.exp(-jnp.abs(wide)))
    # A choice, not a maximum: YNN would take it with a sum behind it, and is slower at it than XLA.
    return jnp.where(wide > 0, wide + small, small).astype(x.dtype)


_softplus.defjvps(lambda tangent, y, x: jax.nn.sigmoid(x) * tangent)
