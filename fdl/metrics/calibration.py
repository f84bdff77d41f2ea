"""How far the confidence of a model can be trusted, and the one number that mends it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from fdl.checks import require_float, require_shape
from fdl.metrics.classification import hits_of, require_labels, sound
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


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The T for which softmax(logits / T) has the least cross-entropy.  float (n, classes), int (n,)

    Fit it on validation data: it changes no decision, only how sure they are.  The slope of the loss in 1 / T rises,
    so halving finds its zero.  Raises ValueError where no T from 0.001 to 1,000 is best, as when every answer is right.
    https://arxiv.org/abs/1706.04599, section 4.2
    """
    require_shape(logits, None, None, name="logits")
    logits, labels = require_labels(logits, labels)
    if not sound(logits, labels).all():
        raise ValueError(f"every label must be a class, 0 to {logits.shape[-1] - 1}, and no logit NaN")
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    target = np.take_along_axis(logits, labels[:, None], -1)[:, 0]

    def slope(log_inverse):
        scaled = np.exp(log_inverse) * logits
        weights = np.exp(scaled - scaled.max(-1, keepdims=True))
        return np.mean((weights * logits).sum(-1) / weights.sum(-1) - target)

    low, high = np.log(1e-3), np.log(1e3)
    if not slope(low) < 0 < slope(high):
        raise ValueError("no temperature from 0.001 to 1,000 is best: are these validation data, labels and all?")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-low))


def ensemble_logits(logits: ArrayLike) -> jax.Array:
    """The log of the mean of the probabilities of many runs.  (runs, ..., classes) -> (..., classes)

    The mean of probabilities, not of logits: a run that is sure cannot outvote the others.
    https://arxiv.org/abs/1612.01474
    """
    logits = jnp.asarray(logits)
    require_shape(logits, None, ..., None, name="logits")
    require_float(logits, "logits")
    each = jax.nn.log_softmax(logits, axis=-1)
    return jax.nn.logsumexp(each, axis=0) - np.log(logits.shape[0]).astype(each.dtype)


def require_bins(bins: int) -> None:
    """Raise ValueError unless bins is a whole number of at least 1."""
    if not isinstance(bins, int) or bins < 1:
        raise ValueError(f"bins must be a whole number of at least 1, got {bins}")
