"""From per-example values to one number."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_mask
from fdl.losses.inputs import widen


def masked_mean(values: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Mean of the values where `where` is true, 0 if there are none.  (shape), bool (shape) -> ()

    It divides by what it kept, so the mean over a padded batch equals that over the batch without padding.  Means of
    shards with unequal masks do not average to the mean of all; add up sums and counts (`fdl.metrics.mean`) for that.
    """
    require_float(values, "values")
    (values,) = widen(values)
    keep = require_mask(where, values.shape)
    if keep is None:
        return jnp.sum(values) / max(values.size, 1)
    return jnp.sum(values, where=keep) / jnp.maximum(jnp.sum(keep), 1).astype(values.dtype)
