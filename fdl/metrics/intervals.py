"""How sure a measured number is: intervals of a fraction and of any statistic, and whether two models differ.

Plain functions of final results on the host, in float64.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from fdl.checks import ShapeError


class Interval(NamedTuple):
    """The two ends of an interval, numbers or arrays of them."""

    low: Any
    high: Any


class McNemar(NamedTuple):
    """How many examples only the first model had right, only the second, and how likely that is by chance alone."""

    only_first: int
    only_second: int
    p_value: float


def wilson_interval(successes: Any, trials: Any, level: float = 0.95) -> Interval:
    """The fractions that so many successes out of so many trials speak for, at this level.  Numbers or arrays

    Where the usual p ± 2 standard errors fails, near 0 and 1 and in small sets, it holds its level on average.
    Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953
    """
    k, n = np.asarray(successes, float), np.asarray(trials, float)
    if not ((k >= 0) & (k <= n) & (n >= 1)).all():
        raise ValueError(f"successes must lie in [0, trials], of at least 1, got {successes} of {trials}")
    z = NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    centre = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    low, high = np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)
    return Interval(float(low), float(high)) if low.ndim == 0 else Interval(low, high)


def bootstrap_interval(
    values: Any,
    statistic: Callable[[np.ndarray], Any] = np.mean,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Where the statistic of as many values, drawn from these with replacement, lies at this level.  (n, ...)

    For two models on the same examples pass their differences, or rows of both and a statistic of the rows: that is
    the paired bootstrap.  The percentile interval of Efron 1979, https://doi.org/10.1214/aos/1176344552
    """
    values = np.asarray(values)
    if values.ndim < 1 or len(values) < 2 or draws < 1:
        raise ShapeError(
            f"the bootstrap draws from at least 2 values, at least once, got {values.shape}, {draws} times"
        )
    tail = 50 * (1 - _checked(level))
    random = np.random.default_rng(seed)
    found = [statistic(values[random.integers(0, len(values), len(values))]) for _ in range(draws)]
    low, high = np.percentile(found, [tail, 100 - tail])
    return Interval(float(low), float(high))


def mcnemar(first: Any, second: Any) -> McNemar:
    """The exact two-sided test that two models are right equally often, on the same examples.  bool (n,), bool (n,)

    Only the examples on which they differ speak: under the hypothesis each falls to either model as a coin does.
    McNemar 1947, https://doi.org/10.1007/BF02295996
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim != 1 or first.dtype != bool or second.dtype != bool:
        kinds = f"{first.dtype}{first.shape} and {second.dtype}{second.shape}"
        raise ShapeError(f"both must say of the same examples whether they were right, bool (n,), got {kinds}")
    b, c = int((first & ~second).sum()), int((second & ~first).sum())
    fewer = sum(math.comb(b + c, i) for i in range(min(b, c) + 1))
    return McNemar(b, c, min(1.0, 2 * fewer / 2 ** (b + c)))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    return level
