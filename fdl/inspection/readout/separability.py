"""Whether a hyperplane separates two classes: decided, with a proof either way.

Sign the examples, z = ±(x, 1).  Either some w has z · w > 0 for all of them, or some convex combination of the z is
zero, and never both (Gordan 1873).  One problem of non-negative least squares answers: the point of the cone of the
(z, 1) nearest to (0, 1) leaves a residual that is such a w, or none, and then its weights are the combination.
Lawson & Hanson 1974, Solving Least Squares Problems, chapter 23, https://doi.org/10.1137/1.9781611971217
"""

from typing import Any, NamedTuple

import numpy as np

from fdl.checks import require_shape

CLOSE = 1e-9  # of features scaled to at most 1: how near to zero a combination must be


class Separation(NamedTuple):
    """separable, and its proof: x @ kernel + bias > 0 for the True labels alone; or weights (n,), the combination.

    The hyperplane is that of the largest margin, of features scaled to -1 … 1 and with a constant 1 beside them.
    """

    separable: bool
    kernel: np.ndarray | None
    bias: float | None
    weights: np.ndarray | None


class UndecidedError(ArithmeticError):
    """The margin is too small for float64 to tell."""


def separate(x: Any, labels: Any) -> Separation:
    """Decide whether a hyperplane separates the True from the False.  real (n, dim), bool (n,) -> Separation

    In float64 on the host.  Raises UndecidedError where neither proof holds to the last digits.
    """
    x, labels = np.asarray(x, np.float64), np.asarray(labels)
    require_shape(x, None, None, name="x", hint="flatten features to one row an example")
    require_shape(labels, len(x), name="labels")
    if labels.dtype != bool:
        raise TypeError(f"labels must be boolean, got {labels.dtype}; compare, e.g. labels == 3")
    middle = (x.max(0) + x.min(0)) / 2
    reach = np.where(x.max(0) > x.min(0), (x.max(0) - x.min(0)) / 2, 1)
    signed = np.where(labels, 1.0, -1.0)[:, None] * np.column_stack([(x - middle) / reach, np.ones(len(x))])
    cone = np.vstack([signed.T, np.ones(len(x))])
    target = np.append(np.zeros(len(cone) - 1), 1.0)
    weights = nonnegative_least_squares(cone, target)
    residual = target - cone @ weights
    plane = -residual[:-1] / residual[-1] if residual[-1] > 0 else residual[:-1]
    if (signed @ plane).min() > 0:
        kernel = plane[:-1] / reach
        return Separation(True, kernel, float(plane[-1] - middle @ kernel), None)
    combination = weights / weights.sum() if weights.any() else weights
    if np.abs(signed.T @ combination).max() > CLOSE:
        raise UndecidedError(
            "neither a hyperplane nor a combination holds in float64; are two classes almost touching?"
        )
    return Separation(False, None, None, combination)


def nonnegative_least_squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The x >= 0 with the least |a @ x - b|.  float64 (m, n), (m,) -> (n,)   Lawson & Hanson, algorithm 23.10

    Columns enter one by one where they lower the error most, and leave where their weight would become negative, until
    none would lower it or it is zero to ten digits.
    Raises UndecidedError if that does not end, which exact arithmetic rules out.
    """
    x, free, barred = np.zeros(a.shape[1]), np.zeros(a.shape[1], bool), np.zeros(a.shape[1], bool)
    tiny = 10 * np.finfo(float).eps * np.abs(a).sum(0).max()
    for _ in range(3 * max(a.shape)):
        residual = b - a @ x
        slope = np.where(free | barred, -np.inf, a.T @ residual)
        if slope.max() <= tiny or np.linalg.norm(residual) <= CLOSE / 10:
            return x
        entering = slope.argmax()
        free[entering] = True
        x, free = _feasible(a, b, x, free)
        barred = np.zeros_like(barred) if free[entering] else barred  # what leaves at once entered by rounding alone
        barred[entering] = not free[entering]
    raise UndecidedError(f"non-negative least squares of shape {a.shape} did not end; scale the features alike")


def _feasible(a: np.ndarray, b: np.ndarray, x: np.ndarray, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least squares of the free columns, after those have left whose weight would not stay positive."""
    while free.any():
        goal = np.zeros_like(x)
        goal[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
        falling = free & (goal <= 0)
        if not falling.any():
            return goal, free
        share = np.where(falling, np.divide(x, x - goal, out=np.zeros_like(x), where=x > goal), np.inf)
        x, free = x + share.min() * (goal - x), free & (share > share.min())
        x[~free] = 0
    return np.zeros_like(x), free
