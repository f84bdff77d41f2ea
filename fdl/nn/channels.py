"""Arrays that belong to the last axis of another: one value a channel."""

import jax


def per_channel(values: jax.Array, x: jax.Array) -> jax.Array:
    """Values (dim,) with the rank of x (..., dim), so that broadcasting is said and not guessed."""
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)
