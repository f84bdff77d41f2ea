"""Metrics of how two numbers go together, from the sums of both, their squares and their product."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from fdl.metrics.regression import require_numbers
from fdl.metrics.sums import Metric, as_floats, fraction, kept_of, metric


class Pairs(NamedTuple):
    """Sums of x, y, x², y² and x y, and how many; or their means about the means, once divided."""

    x: Any
    y: Any
    xx: Any
    yy: Any
    xy: Any
    count: Any


@metric
def pearson_correlation(*, center: float = 0.0) -> Any:
    """cov(x, y) / √(var x var y) of update(sums, x, y), all axes together.  float (shape), float (shape)

    NaN without examples or if one of the two does not vary.  center is for digits, as for `r_squared`.
    """
    return _of_pairs(center, lambda m: m.xy, lambda m: (m.xx * m.yy) ** 0.5)


@metric
def concordance_correlation(*, center: float = 0.0) -> Any:
    """2 cov(x, y) / (var x + var y + (mean x - mean y)²) of update(sums, x, y), all axes together.

    float (shape), float (shape).  1 only where x is y: an offset or another scale makes it less than the correlation.
    NaN without examples or if both are one constant.  center is for digits, as for `r_squared`.
    Lin 1989, A Concordance Correlation Coefficient to Evaluate Reproducibility.
    """
    return _of_pairs(center, lambda m: 2 * m.xy, lambda m: m.xx + m.yy + (m.x - m.y) ** 2)


def _of_pairs(center: float, part: Callable[[Pairs], Any], whole: Callable[[Pairs], Any]) -> Metric:
    """The metric part / whole of the means and the (co)variances."""

    def init():
        return Pairs(*(jnp.zeros((), kind) for kind in (float, float, float, float, float, int)))

    def update(sums, x, y, *, where=None):
        x, y = require_numbers(x, y, "x", "y", sums.x.dtype)
        x, y, kept = x - center, y - center, kept_of(where, x.shape)
        terms = [jnp.sum(term, where=kept) for term in (x, y, x * x, y * y, x * y)]
        return Pairs(*(a + b for a, b in zip(sums, [*terms, jnp.sum(kept)])))

    def compute(sums):
        module, (*totals, count) = as_floats(sums)
        x, y, xx, yy, xy = (fraction(total, count) for total in totals)
        apart = lambda square: module.maximum(square, 0.0)
        means = Pairs(x, y, apart(xx - x * x), apart(yy - y * y), xy - x * y, count)
        return fraction(part(means), whole(means))

    return Metric(init, update, compute)
