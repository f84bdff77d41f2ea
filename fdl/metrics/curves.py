"""Metrics of two classes at every threshold of a score, from histograms, so that they add.

An example is taken for 1 if its score reaches the threshold.  Scores of one of the `bins` equal bins of [0, 1] are
taken for equal: each metric is exact for the scores rounded down to a bin.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from fdl.checks import require_float, require_integer, require_shape
from fdl.metrics.calibration import require_bins
from fdl.metrics.sums import Metric, as_floats, fraction, kept_of, metric


class Scores(NamedTuple):
    """Per bin of the score the examples labelled 1 and those labelled 0, and how many labels were neither."""

    positive: Any
    negative: Any
    dropped: Any


class Curve(NamedTuple):
    """How many ones and zeros reach each threshold, from none of them to all."""

    hits: Any
    alarms: Any


@metric
def area_under_curve(bins: int = 1000) -> Any:
    """Area under the ROC curve of update(sums, scores, labels): how often a 1 scores above a 0, ties counting half.

    float (shape), int (shape).  scores lie in [0, 1], such as sigmoid(logits); others go to the nearest end.  Scores of
    one of the `bins` equal bins are taken for equal, so the error is at most ½ Σ p n over the bins, for the shares p of
    the ones and n of the zeros that are in the bin.  A NaN score counts as wrong as can be.  NaN without a 1 or without
    a 0, or if a label is neither.
    """
    return _of_curve(bins, _area)


@metric
def average_precision(bins: int = 1000) -> Any:
    """Σ precision times the gain of recall over falling thresholds: the area under the precision-recall curve.

    update(sums, scores, labels), as for `area_under_curve`.  NaN without a 1 or without a 0, or if a label is neither.
    """
    return _of_curve(bins, lambda module, c: module.sum(module.diff(_share(c.hits)) * _precision(c)[1:]))


@metric
def precision_at_recall(recall: float, bins: int = 1000) -> Any:
    """The best precision of a threshold whose recall is `recall` or more.  update(sums, scores, labels)

    Arguments as for `area_under_curve`, and NaN as there.
    """
    return _best(bins, recall, "recall", _precision, lambda c: _share(c.hits))


@metric
def recall_at_precision(precision: float, bins: int = 1000) -> Any:
    """The best recall of a threshold whose precision is `precision` or more, 0 if none is; as `precision_at_recall`."""
    return _best(bins, precision, "precision", lambda c: _share(c.hits), _precision)


@metric
def sensitivity_at_specificity(specificity: float, bins: int = 1000) -> Any:
    """The best recall of a threshold that takes the share `specificity` or more of the zeros for zeros.

    update(sums, scores, labels), as for `area_under_curve`, and NaN as there.
    """
    return _best(bins, specificity, "specificity", lambda c: _share(c.hits), lambda c: 1 - _share(c.alarms))


def _best(bins: int, least: float, name: str, value: Callable, measure: Callable) -> Metric:
    """The metric max value(curve) where measure(curve) is `least` or more."""
    if not 0 <= least <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {least}")
    # In float32 the share k / n may round below the same share given as a float64.
    reaches = lambda module, c: measure(c) >= least - module.finfo(c.hits.dtype).eps
    return _of_curve(bins, lambda module, c: module.max(module.where(reaches(module, c), value(c), 0.0)))


def _of_curve(bins: int, value: Callable[[Any, Curve], Any]) -> Metric:
    """The metric value(numpy to compute with, curve) of a histogram of scores."""
    require_bins(bins)

    def init():
        return Scores(jnp.zeros(bins, int), jnp.zeros(bins, int), jnp.zeros((), int))

    def update(sums, scores, labels, *, where=None):
        require_float(scores, "scores", "they are probabilities, e.g. jax.nn.sigmoid(logits)")
        require_integer(labels, "labels", "they are 0 or 1, e.g. labels.astype('int32')")
        require_shape(labels, *jnp.shape(scores), name="labels", hint="one for every score")
        scores, labels, kept = jnp.asarray(scores), jnp.asarray(labels), kept_of(where, jnp.shape(scores))
        scores = jnp.where(jnp.isnan(scores), (labels == 0).astype(scores.dtype), scores)
        number = jnp.clip(jnp.floor(scores.astype(float) * bins), 0, bins - 1).astype(int)
        one, none = (sums[i].at[number].add((kept & (labels == 1 - i)).astype(int)) for i in range(2))
        return Scores(one, none, sums.dropped + jnp.sum(kept & (labels != 0) & (labels != 1)))

    def compute(sums):
        module, (positive, negative, dropped) = as_floats(sums)
        reached = lambda x: module.concatenate([module.zeros(1, x.dtype), module.cumsum(x[::-1])])
        curve = Curve(reached(positive), reached(negative))
        sound = (dropped == 0) & (curve.hits[-1] > 0) & (curve.alarms[-1] > 0)
        return module.where(sound, value(module, curve), math.nan)

    return Metric(init, update, compute)


def _area(module: Any, curve: Curve) -> Any:
    hits, alarms = _share(curve.hits), _share(curve.alarms)
    return module.sum(module.diff(alarms) * (hits[1:] + hits[:-1]) / 2)


def _share(count: Any) -> Any:
    """Of all, NaN where there are none."""
    return fraction(count, count[-1])


def _precision(curve: Curve) -> Any:
    """0 where nothing reaches the threshold."""
    return curve.hits / (curve.hits + curve.alarms).clip(1.0)
