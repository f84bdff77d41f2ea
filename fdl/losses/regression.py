"""Losses for numbers: elementwise, so (batch, dim) gives (batch, dim); sum or mean over dim as the model asks."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask
from fdl.losses.inputs import keep_only, promote, require_pair


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


def smooth_l1(
    prediction: ArrayLike, target: ArrayLike, *, beta: float = 1.0, where: ArrayLike | None = None
) -> jax.Array:
    """½ e² / beta for errors |e| up to beta, |e| - beta / 2 beyond: huber / beta.  (shape), (shape) -> (shape)

    The slope far out is 1 for every beta.  Raises ShapeError unless both shapes are equal.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be positive and finite, got {beta}; for a corner at 0 use absolute_error")
    return huber(prediction, target, delta=beta, where=where) / beta


def log_cosh(prediction: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """log cosh(prediction - target), near ½ e² and far |e| - log 2; the derivative is tanh e.  (shape) x 2 -> (shape)

    Raises ShapeError unless both shapes are equal.
    """
    error = _error(prediction, target, where)
    near = jnp.abs(error) < 1
    # cosh e - 1 = 2 sinh² (e / 2) keeps the digits of small errors, the other form does not overflow.
    inner = jnp.log1p(2 * jnp.square(jnp.sinh(jnp.where(near, error, 0) / 2)))
    size = jnp.abs(jnp.where(near, 1, error))
    return jnp.where(near, inner, size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2))


def absolute_percentage_error(
    prediction: ArrayLike, target: ArrayLike, *, epsilon: float = 1e-7, where: ArrayLike | None = None
) -> jax.Array:
    """100 |prediction - target| / max(|target|, epsilon), in per cent of the target.  (shape), (shape) -> (shape)

    Targets near 0 make it as large as 100 / epsilon times the error; leave them out with `where`.
    """
    size = jnp.maximum(jnp.abs(_pair(prediction, target, where)[1]), epsilon)
    return 100 * absolute_error(prediction, target, where=where) / size


def squared_log_error(prediction: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """(log(1 + prediction) - log(1 + target))², an error of ratios.  (shape), (shape) -> (shape)

    Both are meant to be 0 or more; below -1 the result is NaN.
    """
    prediction, target = _pair(prediction, target, where)
    return jnp.square(jnp.log1p(prediction) - jnp.log1p(target))


def quantile(prediction: ArrayLike, target: ArrayLike, *, level: float, where: ArrayLike | None = None) -> jax.Array:
    """level e for e = target - prediction above 0, (level - 1) e below: the pinball loss.  (shape), (shape) -> (shape)

    Its mean is least where a share `level` of the targets lies below the prediction; level 0.5 is half the absolute
    error.  The derivative at 0 is 0.  Koenker and Bassett 1978, Regression Quantiles.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}; 0.9 is the 90th percentile")
    error = -_error(prediction, target, where)
    return error * jnp.where(error > 0, level, jnp.where(error < 0, level - 1, 0.0)).astype(error.dtype)


def _pair(prediction: ArrayLike, target: ArrayLike, where: ArrayLike | None) -> list[jax.Array]:
    require_pair(prediction, target, "prediction")
    keep = require_mask(where, jnp.shape(prediction))
    return keep_only(keep, *promote(prediction, target))


def _error(prediction: ArrayLike, target: ArrayLike, where: ArrayLike | None) -> jax.Array:
    require_pair(prediction, target, "prediction")
    keep = require_mask(where, jnp.shape(prediction))
    prediction, target = promote(prediction, target)
    error = prediction - target
    return error if keep is None else jnp.where(keep, error, 0)
