"""Means and sums that stay defined where nothing is left."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_mask
from fdl.losses.inputs import promote


def masked_mean(values: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Mean of the values where `where` is true, 0 if there are none.  (shape), bool (shape) -> ()

    It divides by what it kept, so the mean over a padded batch equals that over the batch without padding.  Means of
    shards with unequal masks do not average to the mean of all; add up sums and counts (`fdl.metrics.mean`) for that.
    """
    require_float(values, "values")
    (values,) = promote(values)
    keep = require_mask(where, values.shape)
    if keep is None:
        return jnp.sum(values) / max(values.size, 1)
    return jnp.sum(values, where=keep) / jnp.maximum(jnp.sum(keep), 1).astype(values.dtype)


def log_sum(x: jax.Array, axis: int = -1) -> jax.Array:
    """log Σ exp x over the axis; -inf with gradient 0, not NaN, where all are -inf."""
    top = jax.lax.stop_gradient(jnp.max(x, axis, keepdims=True))
    none = jnp.isneginf(top)
    total = jnp.sum(jnp.exp(x - jnp.where(none, 0, top)), axis, keepdims=True)
    return jnp.squeeze(jnp.where(none, -jnp.inf, top + jnp.log(jnp.where(none, 1, total))), axis)
