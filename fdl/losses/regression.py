"""Losses for numbers: elementwise, so (batch, dim) gives (batch, dim); sum or mean over dim as the model asks."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask
from fdl.losses.inputs import require_pair, widen


def squared_error(prediction: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """(prediction - target)², without the ½: the derivative is 2 (prediction - target).  (shape), (shape) -> (shape)

    Raises ShapeError unless both shapes are equal: (batch, 1) against (batch,) is never broadcast.
    """
    return jnp.square(_error(prediction, target, where))


def absolute_error(prediction: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """|prediction - target|; the derivative at 0 is 0.  (shape), (shape) -> (shape)

    Raises ShapeError unless both shapes are equal.
    """
    error = _error(prediction, target, where)
    return error * jnp.sign(error)  # jnp.abs has the derivative 1 at 0


def huber(prediction: ArrayLike, target: ArrayLike, *, delta: float = 1.0, where: ArrayLike | None = None) -> jax.Array:
    """½ e² for errors |e| up to delta, delta (|e| - delta / 2) beyond.  (shape), (shape) -> (shape)

    Raises ShapeError unless both shapes are equal.  Huber 1964, Robust Estimation of a Location Parameter.
    """
    if not (math.isfinite(delta) and delta > 0):
        raise ValueError(f"delta must be positive and finite, got {delta}; for no limit use squared_error / 2")
    error = _error(prediction, target, where)
    inner = jnp.clip(error, -delta, delta)
    return inner * (error - inner / 2)


def _error(prediction: ArrayLike, target: ArrayLike, where: ArrayLike | None) -> jax.Array:
    require_pair(prediction, target, "prediction")
    keep = require_mask(where, jnp.shape(prediction))
    prediction, target = widen(prediction, target)
    error = prediction - target
    return error if keep is None else jnp.where(keep, error, 0)
