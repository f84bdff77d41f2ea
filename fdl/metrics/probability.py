"""Metrics of how sure a model is, from histograms, so that they add."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_integer, require_shape
from fdl.metrics.classification import hits_of, require_labels
from fdl.metrics.metric import Metric, as_floats, fraction, kept_of, metric


class Scores(NamedTuple):
    """Per bin of the score the examples labelled 1 and those labelled 0, and how many labels were neither."""

    positive: Any
    negative: Any
    dropped: Any


class Confidence(NamedTuple):
    """Per bin of the confidence: right answers, the sum of the confidences, and how many."""

    correct: Any
    confidence: Any
    count: Any


@metric
def area_under_curve(bins: int = 1000) -> Any:
    """Area under the ROC curve of update(sums, scores, labels): how often a 1 scores above a 0, ties counting half.

    float (shape), int (shape).  scores lie in [0, 1], such as sigmoid(logits); others go to the nearest end.  Scores of
    one of the `bins` equal bins are taken for equal, so the error is at most ½ Σ p n over the bins, for the shares p of
    the ones and n of the zeros that are in the bin.  A NaN score counts as wrong as can be.  NaN without a 1 or without
    a 0, or if a label is neither.
    """
    _require_bins(bins)

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
        below = module.cumsum(negative) - negative / 2
        pairs = module.sum(positive) * module.sum(negative)
        return fraction(module.sum(positive * below), module.where(dropped > 0, 0.0, pairs))

    return Metric(init, update, compute)


@metric
def expected_calibration_error(bins: int = 15) -> Any:
    """Σ over the bins of their share of the examples times |accuracy - mean confidence|.  update(sums, logits, labels)

    float (..., classes), int (...).  The confidence is the largest probability softmax(logits), and bin m of M holds
    those in ((m - 1) / M, m / M].  A label that is no class is a wrong answer.  NaN without examples, or if one has NaN
    among its logits.  https://arxiv.org/abs/1706.04599
    """
    _require_bins(bins)

    def init():
        return Confidence(jnp.zeros(bins, int), jnp.zeros(bins), jnp.zeros(bins, int))

    def update(sums, logits, labels, *, where=None):
        logits, labels = require_labels(logits, labels)
        kept, hits = kept_of(where, labels.shape), hits_of(logits, labels, 1)
        confidence = jnp.max(jax.nn.softmax(logits.astype(float)), axis=-1)
        number = jnp.nan_to_num(jnp.clip(jnp.ceil(confidence * bins) - 1, 0, bins - 1)).astype(int)
        return Confidence(
            sums.correct.at[number].add((hits & kept).astype(int)),
            sums.confidence.at[number].add(jnp.where(kept, confidence, 0)),
            sums.count.at[number].add(kept.astype(int)),
        )

    def compute(sums):
        module, (correct, confidence, count) = as_floats(sums)
        return fraction(module.sum(module.abs(correct - confidence)), module.sum(count))

    return Metric(init, update, compute)


def _require_bins(bins: int) -> None:
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins}")
