"""Metrics: sums that are gathered batch by batch and read at the end, so that any split of the data gives the same.

    init()                            -> sums
    update(sums, *args, where=None)   -> sums
    compute(sums)                     -> value

Sums are pytrees that add: those of shards and batches merge by `jax.tree.map(operator.add, a, b)`.  Counts are integers
(int32 on the device unless 64-bit types are enabled), so they are exact; for more than 2³¹ examples add the sums of
the steps up as Python or NumPy numbers, which `compute` takes as well.  `where` is a boolean mask of the shape of the
labels or values: what it leaves out counts in no way, whatever it holds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_integer, require_mask, require_shape
from fdl.recipe import Recorded, recipe

__all__ = [
    "Metric",
    "metric",
    "mean",
    "accuracy",
    "correct",
    "top_k",
    "confusion_matrix",
    "Average",
    "Confusion",
]

Sums: TypeAlias = Any


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Metric(Recorded):
    """Three pure functions.  A value: prints, compares, hashes and pickles by its call."""

    init: Callable[[], Sums]
    update: Callable[..., Sums]
    compute: Callable[[Sums], Any]

    def __call__(self, *args: ArrayLike, where: ArrayLike | None = None) -> Any:
        """The value for one batch alone."""
        return self.compute(self.update(self.init(), *args, where=where))


metric = recipe(Metric)  # the decorator of constructors of metrics


class Average(NamedTuple):
    """Sums of a mean or a fraction."""

    total: Any
    count: Any


class Confusion(NamedTuple):
    """counts[true, predicted], and how many examples are not among them."""

    counts: Any
    dropped: Any


@metric
def mean() -> Any:
    """Mean of the values of update(sums, values), all axes together; NaN if there were none, or if one of them is.

    The total is a float32 (float64 if 64-bit types are enabled).
    """

    def init():
        return Average(jnp.zeros(()), jnp.zeros((), int))

    def update(sums, values, *, where=None):
        values = jnp.asarray(values).astype(jnp.result_type(sums.total))
        kept = _kept(where, values.shape)
        return Average(sums.total + jnp.sum(values, where=kept), sums.count + jnp.sum(kept))

    return Metric(init, update, _ratio)


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
        hits = _hits(logits, labels, k)
        kept = _kept(where, hits.shape)
        return Average(sums.total + jnp.sum(hits & kept), sums.count + jnp.sum(kept))

    return Metric(init, update, _ratio)


@metric
def correct() -> Any:
    """Number of examples of update(sums, logits, labels) that `accuracy` takes for right, an integer."""

    def update(sums, logits, labels, *, where=None):
        hits = _hits(logits, labels, 1)
        return sums + jnp.sum(hits & _kept(where, hits.shape))

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
        logits, labels = _require_labels(logits, labels)
        kept, sound = _kept(where, labels.shape), _sound(logits, labels)
        true, predicted = jnp.where(sound, labels, 0), jnp.argmax(logits, axis=-1)
        counts = sums.counts.at[true, predicted].add((sound & kept).astype(sums.counts.dtype))
        return Confusion(counts, sums.dropped + jnp.sum(kept & ~sound))

    return Metric(init, update, lambda sums: sums)


def _hits(logits: ArrayLike, labels: ArrayLike, k: int) -> jax.Array:
    """Whether each label is among the k largest logits.  (..., classes), int (...) -> bool (...)"""
    logits, labels = _require_labels(logits, labels)
    if k > logits.shape[-1]:
        raise ShapeError(f"logits must have at least {k} classes for the top {k}, got shape {logits.shape}")
    label = jnp.where(_sound(logits, labels), labels, 0)[..., None]
    chosen = jnp.take_along_axis(logits, label, axis=-1)
    number = jax.lax.broadcasted_iota(label.dtype, logits.shape, logits.ndim - 1)
    ahead = (logits > chosen) | ((logits == chosen) & (number < label))
    return (jnp.sum(ahead, axis=-1) < k) & _sound(logits, labels)


def _sound(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Whether the label is a class and no logit NaN."""
    return (labels >= 0) & (labels < logits.shape[-1]) & ~jnp.any(jnp.isnan(logits), axis=-1)


def _require_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[jax.Array, jax.Array]:
    require_float(logits, "logits", "they are scores of the classes, (..., classes)")
    require_integer(labels, "labels", "class numbers are integers, e.g. labels.astype('int32')")
    require_shape(logits, ..., None, name="logits")
    one_hot = jnp.shape(labels) == jnp.shape(logits)
    hint = "one-hot rows become class numbers by labels.argmax(-1)" if one_hot else "that of logits without classes"
    require_shape(labels, *jnp.shape(logits)[:-1], name="labels", hint=hint)
    labels = jnp.asarray(labels)
    # A type too narrow for the number of classes would wrap around in comparisons.
    return jnp.asarray(logits), labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels


def _kept(where: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array:
    """The mask, all true if there is none."""
    keep = require_mask(where, shape)
    return jnp.ones(shape, bool) if keep is None else keep


def _ratio(sums: Average) -> Any:
    """total / count, on the device or of numbers added up on the host; NaN for 0 / 0."""
    if isinstance(sums.count, jax.Array):
        return sums.total.astype(float) / sums.count.astype(float)
    return sums.total / sums.count if sums.count else math.nan
