"""Metrics of how far the confidence of a model can be trusted, from histograms, so that they add."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.metrics.classification import hits_of, require_labels
from fdl.metrics.sums import Metric, as_floats, fraction, kept_of, metric


class Confidence(NamedTuple):
    """Per bin of the confidence: right answers, the sum of the confidences, and how many."""

    correct: Any
    confidence: Any
    count: Any


@metric
def expected_calibration_error(bins: int = 15) -> Any:
    """Σ over the bins of their share of the examples times |accuracy - mean confidence|.  update(sums, logits, labels)

    float (..., classes), int (...).  The confidence is the largest probability softmax(logits), and bin m of M holds
    those in ((m - 1) / M, m / M].  A label that is no class is a wrong answer.  NaN without examples, or if one has NaN
    among its logits.  https://arxiv.org/abs/1706.04599
    """
    require_bins(bins)

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


def require_bins(bins: int) -> None:
    """Raise ValueError unless bins is a whole number of at least 1."""
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins}")
