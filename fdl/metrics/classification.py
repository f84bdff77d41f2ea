"""Metrics of classes, from logits and class numbers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_integer, require_shape
from fdl.metrics.sums import Average, Metric, kept_of, metric, ratio


class Confusion(NamedTuple):
    """counts[true, predicted], and how many examples are not among them."""

    counts: Any
    dropped: Any


@metric
def accuracy() -> Any:
    """Fraction of update(sums, logits, labels) whose largest logit is the label's; NaN if there were no examples.

    float (..., classes), int (...).  Of equal logits the first class wins.  NaN among its logits, or a label that is
    no class, makes an example wrong.
    """
    return top_k(1)


@metric
def top_k(k: int) -> Any:
    """Fraction of update(sums, logits, labels) whose label is among the k largest logits; NaN without examples.

    float (..., classes), int (...).  Of equal logits the first class wins, as in `jax.lax.top_k`.  NaN among its
    logits, or a label that is no class, makes an example wrong.
    """
    if not isinstance(k, int) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k}")

    def init():
        return Average(jnp.zeros((), int), jnp.zeros((), int))

    def update(sums, logits, labels, *, where=None):
        hits = hits_of(logits, labels, k)
        kept = kept_of(where, hits.shape)
        return Average(sums.total + jnp.sum(hits & kept), sums.count + jnp.sum(kept))

    return Metric(init, update, ratio)


@metric
def correct() -> Any:
    """Number of examples of update(sums, logits, labels) that `accuracy` takes for right, an integer."""

    def update(sums, logits, labels, *, where=None):
        hits = hits_of(logits, labels, 1)
        return sums + jnp.sum(hits & kept_of(where, hits.shape))

    return Metric(lambda: jnp.zeros((), int), update, lambda sums: sums)


@metric
def confusion_matrix(classes: int) -> Any:
    """Confusion(counts, dropped) of update(sums, logits, labels): counts[i, j] examples of class i were taken for j.

    float (..., classes), int (...) -> int (classes, classes), int ().  Of equal logits the first class wins.  Examples
    with NaN among their logits, or a label that is no class, are counted in `dropped` alone.
    """
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(f"classes must be a whole number of at least 1, got {classes}")

    def init():
        return Confusion(jnp.zeros((classes, classes), int), jnp.zeros((), int))

    def update(sums, logits, labels, *, where=None):
        require_shape(logits, ..., classes, name="logits")
        logits, labels = require_labels(logits, labels)
        kept, fit = kept_of(where, labels.shape), sound(logits, labels)
        true, predicted = jnp.where(fit, labels, 0), jnp.argmax(logits, axis=-1)
        counts = sums.counts.at[true, predicted].add((fit & kept).astype(sums.counts.dtype))
        return Confusion(counts, sums.dropped + jnp.sum(kept & ~fit))

    return Metric(init, update, lambda sums: sums)


def hits_of(logits: ArrayLike, labels: ArrayLike, k: int) -> jax.Array:
    """Whether each label is among the k largest logits.  (..., classes), int (...) -> bool (...)"""
    logits, labels = require_labels(logits, labels)
    if k > logits.shape[-1]:
        raise ShapeError(f"logits must have at least {k} classes for the top {k}, got shape {logits.shape}")
    label = jnp.where(sound(logits, labels), labels, 0)[..., None]
    chosen = jnp.take_along_axis(logits, label, axis=-1)
    number = jax.lax.broadcasted_iota(label.dtype, logits.shape, logits.ndim - 1)
    ahead = (logits > chosen) | ((logits == chosen) & (number < label))
    return (jnp.sum(ahead, axis=-1) < k) & sound(logits, labels)


def sound(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the label is a class and no logit NaN."""
    return (labels >= 0) & (labels < logits.shape[-1]) & ~jnp.any(jnp.isnan(logits), axis=-1)


def require_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    """Both as arrays; raises unless float (..., classes) and int (...)."""
    require_float(logits, "logits", "they are scores of the classes, (..., classes)")
    require_integer(labels, "labels", "class numbers are integers, e.g. labels.astype('int32')")
    require_shape(logits, ..., None, name="logits")
    one_hot = jnp.shape(labels) == jnp.shape(logits)
    hint = "one-hot rows become class numbers by labels.argmax(-1)" if one_hot else "that of logits without classes"
    require_shape(labels, *jnp.shape(logits)[:-1], name="labels", hint=hint)
    labels = jnp.asarray(labels)
    # A type too narrow for the number of classes would wrap around in comparisons.
    return jnp.asarray(logits), labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels
