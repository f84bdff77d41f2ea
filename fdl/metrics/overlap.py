"""Metrics of every class against the rest, from three counts: hits, predictions, examples."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.metrics.classification import require_labels, sound
from fdl.metrics.sums import Metric, as_floats, fraction, kept_of, metric

Averaging = Literal["macro", "micro"] | None


class Tally(NamedTuple):
    """Per class: how many were taken for it rightly, taken for it at all, and of it."""

    hits: Any
    predicted: Any
    actual: Any


@metric
def precision(classes: int, *, average: Averaging = "macro") -> Any:
    """hits / predicted: how much of what was taken for a class is of it.  update(sums, logits, labels)

    float (..., classes), int (...).  average "macro" is the mean over the classes, "micro" adds up the counts of all
    classes first, None gives (classes,); for two classes of which 1 is the positive one, take None and [1].  A class
    that was never predicted has 0; one that is neither there nor predicted NaN, and is no part of the mean.  An example
    with NaN among its logits is taken for no class; a label that is no class still makes its prediction wrong.
    """
    return _overlap(classes, average, lambda t: t.predicted)


@metric
def recall(classes: int, *, average: Averaging = "macro") -> Any:
    """hits / actual: how much of a class was taken for it.  update(sums, logits, labels)

    A class that is predicted but not there has 0.  The rest as for `precision`.
    """
    return _overlap(classes, average, lambda t: t.actual)


@metric
def f_score(classes: int, *, beta: float = 1.0, average: Averaging = "macro") -> Any:
    """(1 + beta²) hits / (predicted + beta² actual), the harmonic mean of precision and beta² times recall.

    update(sums, logits, labels).  The macro score is the mean of the scores of the classes.  The rest as for
    `precision`.
    """
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be positive and finite, got {beta}; 1 weights precision and recall alike")
    return _overlap(classes, average, lambda t: (t.predicted + beta**2 * t.actual) / (1 + beta**2))


@metric
def intersection_over_union(classes: int, *, average: Averaging = "macro") -> Any:
    """hits / (predicted + actual - hits), the Jaccard index; "macro" is the mean IoU.  update(sums, logits, labels)

    For images the labels are (batch, height, width).  The rest as for `precision`.
    """
    return _overlap(classes, average, lambda t: t.predicted + t.actual - t.hits)


def _overlap(classes: int, average: Averaging, whole: Callable[[Tally], Any]) -> Metric:
    """The metric hits / whole(tally)."""
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(f"classes must be a whole number of at least 2, got {classes}")
    if average not in ("macro", "micro", None):
        raise ValueError(f"average must be 'macro', 'micro' or None, got {average!r}")

    def init():
        return Tally(*(jnp.zeros(classes, int) for _ in range(3)))

    def update(sums, logits, labels, *, where=None):
        require_shape(logits, ..., classes, name="logits")
        logits, labels = require_labels(logits, labels)
        kept = kept_of(where, labels.shape)
        predicted = jnp.argmax(logits, axis=-1).astype(labels.dtype)
        clean = kept & ~jnp.any(jnp.isnan(logits), axis=-1)
        count = lambda number, counted: _count(number, counted, classes).astype(sums.hits.dtype)
        hits = count(labels, kept & sound(logits, labels) & (predicted == labels))
        return Tally(sums.hits + hits, sums.predicted + count(predicted, clean), sums.actual + count(labels, kept))

    def compute(sums):
        module, found = as_floats(sums)
        tally = Tally(*(module.sum(x) for x in found)) if average == "micro" else Tally(*found)
        return _read(module, tally, whole, average)

    return Metric(init, update, compute)


def _read(module: Any, tally: Tally, whole: Callable[[Tally], Any], average: Averaging) -> Any:
    occurs = tally.predicted + tally.actual > 0
    size = whole(tally)
    value = module.where(occurs, tally.hits / module.where(size == 0, 1.0, size), math.nan)
    if average != "macro":
        return value
    return fraction(module.sum(module.where(occurs, value, 0.0)), module.sum(occurs.astype(float)))


def _count(numbers: jax.Array, counted: jax.Array, classes: int) -> jax.Array:
    """How often each class is among the counted numbers; others than 0 ... classes - 1 are none."""
    inside = counted & (numbers >= 0) & (numbers < classes)
    return jnp.zeros(classes, int).at[jnp.where(inside, numbers, 0)].add(inside.astype(int))
