"""Metrics of numbers.  The mean of any loss is `mean` of its values."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_shape
from fdl.metrics.sums import Metric, as_floats, fraction, kept_of, metric


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
        return Moments(jnp.zeros(()), jnp.zeros(()), jnp.zeros(()), jnp.zeros((), int))  # apart, to be donated

    def update(sums, prediction, target, *, where=None):
        prediction, target = require_numbers(prediction, target, "prediction", "target", sums.target.dtype)
        prediction, target, kept = prediction - center, target - center, kept_of(where, target.shape)
        total = lambda x: jnp.sum(x, where=kept)
        parts = total(target), total(jnp.square(target)), total(jnp.square(target - prediction)), jnp.sum(kept)
        return Moments(*(a + b for a, b in zip(sums, parts)))

    def compute(sums):
        _, (target, square, error, count) = as_floats(sums)
        return 1 - fraction(error, square - target * fraction(target, count))

    return Metric(init, update, compute)


def require_numbers(x: ArrayLike, y: ArrayLike, first: str, second: str, dtype: Any) -> list[jax.Array]:
    """Both as arrays of this type; raises unless they are floating point and of one shape."""
    require_float(x, first)
    require_float(y, second, f"cast it, e.g. {second}.astype('float32')")
    require_shape(y, *jnp.shape(x), name=second, hint=f"it must be that of {first}")
    return [jnp.asarray(a).astype(dtype) for a in (x, y)]
