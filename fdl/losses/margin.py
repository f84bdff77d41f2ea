"""Losses with a margin: 0 once the right side wins by enough, and with the derivative 0 at the corner."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, ShapeError, describe, require_float, require_mask, require_shape
from fdl.losses.classification import pick, require_numbers
from fdl.losses.inputs import keep_only, masked, promote, require_pair
from fdl.nn.activations.softplus import softplus


def zero_one(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 where targets scores <= 0, else 0, for targets -1 or 1, as floats: errors counted.  (shape), (shape) -> (shape)

    Its derivative is 0 everywhere, so that something above it is made small in its place: `hinge`, `squared_hinge`,
    `exponential`, or `soft_margin` over log 2.  NaN stays NaN.
    """
    agreement = _agreement(scores, targets, where)
    return _masked(jnp.where(agreement > 0, 0, jnp.where(agreement <= 0, 1, agreement)), where)


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
    return masked(keep, loss)


def margin_ranking(
    first: ArrayLike, second: ArrayLike, targets: ArrayLike, *, margin: float = 0.0, where: ArrayLike | None = None
) -> jax.Array:
    """max(0, margin - targets (first - second)): targets 1 want first above, -1 second.  (shape) x 3 -> (shape)"""
    require_pair(first, second, "first")
    require_float(targets, "targets", "they are -1.0 or 1.0")
    require_shape(targets, *jnp.shape(first), name="targets", hint="it must be that of first and second")
    keep = require_mask(where, jnp.shape(first))
    first, second, targets = keep_only(keep, *promote(first, second, targets))
    return _masked(jax.nn.relu(margin - targets * (first - second)), where)


def soft_margin(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """log(1 + exp(-targets scores)) for targets -1 or 1, as floats: the logistic loss.  (shape), (shape) -> (shape)"""
    return _masked(softplus(-_agreement(scores, targets, where)), where)


def exponential(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """exp(-targets scores) for targets -1 or 1, as floats: the loss of AdaBoost.  (shape), (shape) -> (shape)

    Friedman et al. 2000, https://doi.org/10.1214/aos/1016218223
    """
    return _masked(jnp.exp(-_agreement(scores, targets, where)), where)


def hinge_embedding(
    distance: ArrayLike, targets: ArrayLike, *, margin: float = 1.0, where: ArrayLike | None = None
) -> jax.Array:
    """The distance for targets 1 (alike), max(0, margin - distance) for -1, as floats.  (shape), (shape) -> (shape)"""
    require_pair(distance, targets, "distance")
    keep = require_mask(where, jnp.shape(distance))
    distance, targets = keep_only(keep, *promote(distance, targets))
    return _masked(jnp.where(targets > 0, distance, jax.nn.relu(margin - distance)), where)


def multilabel_margin(scores: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """Σ max(0, 1 - (right - wrong)) / classes over all pairs of a right and a wrong class.

    (..., classes), bool (..., classes) -> (...)

    targets say which classes are right, any number of them.
    """
    require_float(scores, "scores")
    require_shape(scores, ..., None, name="scores")
    if jnp.result_type(targets) != jnp.bool_:
        raise DtypeError(f"targets must be boolean, got {describe(targets)}; compare, e.g. targets > 0")
    require_shape(targets, *jnp.shape(scores), name="targets", hint="it must be that of scores")
    keep = require_mask(where, jnp.shape(scores)[:-1])
    scores, right = keep_only(keep, *promote(scores), jnp.asarray(targets))
    pairs = right[..., :, None] & ~right[..., None, :]
    short = jax.nn.relu(1 - (scores[..., :, None] - scores[..., None, :]))
    return _masked(jnp.sum(short, axis=(-2, -1), where=pairs) / scores.shape[-1], where)


def ranking_softmax(scores: ArrayLike, relevance: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """-Σ relevance log softmax(scores) over the items of each list, in nats.  (..., items), (..., items) -> (...)

    `where`, bool (..., items), says which items are there; a list without items has the loss 0.  relevance is not
    normalised.  Cao et al. 2007, Learning to Rank: From Pairwise Approach to Listwise Approach.
    """
    require_pair(scores, relevance, "scores")
    require_shape(scores, ..., None, name="scores", hint="the items of a list are the last axis")
    keep = require_mask(where, jnp.shape(scores))
    scores, relevance = keep_only(keep, *promote(scores, relevance))
    if keep is not None:
        some = jnp.any(keep, axis=-1, keepdims=True)
        scores = jnp.where(keep | ~some, scores, -jnp.inf)
    log_probs = jax.nn.log_softmax(scores)
    return -jnp.sum(relevance * jnp.where(relevance == 0, 0, log_probs), axis=-1)


def _agreement(scores: ArrayLike, targets: ArrayLike, where: ArrayLike | None) -> jax.Array:
    """targets scores, positive where the sign is right."""
    require_pair(scores, targets, "scores")
    keep = require_mask(where, jnp.shape(scores))
    scores, targets = keep_only(keep, *promote(scores, targets))
    return scores * targets


def _masked(loss: jax.Array, where: ArrayLike | None) -> jax.Array:
    return loss if where is None else jnp.where(jnp.asarray(where), loss, 0)
