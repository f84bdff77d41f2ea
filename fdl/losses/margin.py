"""Losses with a margin: 0 once the right side wins by enough, and with the derivative 0 at the corner."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_mask, require_shape
from fdl.losses.classification import pick, require_numbers
from fdl.losses.inputs import keep_only, require_pair, widen


def hinge(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """max(0, 1 - targets scores) for targets -1 or 1, as floats.  (shape), float (shape) -> (shape)

    From targets 0 and 1 take 2 targets - 1.  Cortes and Vapnik 1995, Support-Vector Networks.
    """
    return _masked(jax.nn.relu(1 - _agreement(scores, targets, where)), where)


def squared_hinge(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """max(0, 1 - targets scores)² for targets -1 or 1, as floats.  (shape), float (shape) -> (shape)"""
    return _masked(jnp.square(jax.nn.relu(1 - _agreement(scores, targets, where))), where)


def perceptron(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """max(0, -targets scores) for targets -1 or 1, as floats: hinge without the margin.  (shape), (shape) -> (shape)"""
    return _masked(jax.nn.relu(-_agreement(scores, targets, where)), where)


def multiclass_hinge(scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """max(0, 1 + the largest wrong score - the right score).  (..., classes), int (...) -> (...)

    Of equal wrong scores each takes its share of the derivative.  A label outside 0 ... classes - 1 makes its loss NaN.
    Crammer and Singer 2001; the loss that sums over all wrong classes is another one.
    """
    scores, labels, keep = require_numbers(scores, labels, where, "scores")
    if scores.shape[-1] < 2:
        raise ShapeError(f"scores must have 2 classes or more, got shape {scores.shape}; use hinge for one score")
    right = jax.nn.one_hot(labels, scores.shape[-1], dtype=bool)
    wrong = jnp.max(jnp.where(right, -jnp.inf, scores), axis=-1)
    loss = jax.nn.relu(1 + wrong - pick(scores, labels))
    return loss if keep is None else jnp.where(keep, loss, 0)


def margin_ranking(
    first: ArrayLike, second: ArrayLike, targets: ArrayLike, *, margin: float = 0.0, where: ArrayLike | None = None
) -> jax.Array:
    """max(0, margin - targets (first - second)): targets 1 want first above, -1 second.  (shape) x 3 -> (shape)"""
    require_pair(first, second, "first")
    require_float(targets, "targets", "they are -1.0 or 1.0")
    require_shape(targets, *jnp.shape(first), name="targets", hint="it must be that of first and second")
    keep = require_mask(where, jnp.shape(first))
    first, second, targets = keep_only(keep, *widen(first, second, targets))
    return _masked(jax.nn.relu(margin - targets * (first - second)), where)


def _agreement(scores: ArrayLike, targets: ArrayLike, where: ArrayLike | None) -> jax.Array:
    """targets scores, positive where the sign is right."""
    require_pair(scores, targets, "scores")
    keep = require_mask(where, jnp.shape(scores))
    scores, targets = keep_only(keep, *widen(scores, targets))
    return scores * targets


def _masked(loss: jax.Array, where: ArrayLike | None) -> jax.Array:
    return loss if where is None else jnp.where(jnp.asarray(where), loss, 0)
