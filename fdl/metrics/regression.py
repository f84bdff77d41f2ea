"""Metrics of numbers.  The mean of any loss is `mean` of its values."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.metrics.metric import Metric, as_floats, fraction, kept_of, metric


class Moments(NamedTuple):
    """Sums of the targets, their squares, the squared errors, and how many."""

    target: Any
    square: Any
    error: Any
    count: Any


@metric
def r_squared(*, center: float = 0.0) -> Any:
    """1 - Σ (target - prediction)² / Σ (target - mean target)² of update(sums, prediction, target), all axes together.

    float (shape), float (shape).  NaN without examples or if the targets do not vary.  The variance is a difference of
    sums: pass a rough mean of the targets as center where that is large against their spread, for the relative error is
    about 1e-7 (1e-16 in float64) times 1 + ((mean - center) / spread)².
    """

    def init():
        zero = jnp.zeros(())
        return Moments(zero, zero, zero, jnp.zeros((), int))

    def update(sums, prediction, target, *, where=None):
        require_float(prediction, "prediction")
        require_float(target, "target", "cast it, e.g. target.astype('float32')")
        require_shape(target, *jnp.shape(prediction), name="target", hint="it must be that of prediction")
        kept = kept_of(where, jnp.shape(target))
        prediction, target = (jnp.asarray(x).astype(sums.target.dtype) - center for x in (prediction, target))
        total = lambda x: jnp.sum(x, where=kept)
        parts = total(target), total(jnp.square(target)), total(jnp.square(target - prediction)), jnp.sum(kept)
        return Moments(*(a + b for a, b in zip(sums, parts)))

    def compute(sums):
        _, (target, square, error, count) = as_floats(sums)
        return 1 - fraction(error, square - target * fraction(target, count))

    return Metric(init, update, compute)
