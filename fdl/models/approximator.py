"""One hidden layer is enough, and in one dimension one can say how wide: weights by construction, not by learning.

Cybenko 1989; Hornik 1991; Leshno et al. 1993: every activation but a polynomial will do.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from fdl import nn
from fdl.nn import Layer, Params, layer


@layer
def shallow_net(width: int, activation: Callable = nn.relu, *, scale: float = 1.0) -> Layer:
    """One hidden layer from one number to one number.  (..., 1) -> (..., 1)

    Its units start with slopes of about scale and with their bends spread around 0, its output as about their mean.
    """
    hidden = nn.dense(1, width, kernel_init=nn.normal(scale), bias_init=nn.uniform(-scale, scale))
    return nn.serial(hidden=hidden, activation=activation, out=nn.dense(width, 1, kernel_init=nn.normal(1 / width)))


def interpolant(function: Callable[[np.ndarray], Any], low: float, high: float, width: int) -> Params:
    """The params of a ReLU `shallow_net` that joins width + 1 points of the function by straight lines.

    The points are equally far apart.  Each hidden unit starts at one of them and adds the change of slope there.
    Raises ValueError unless low < high and width >= 1.
    """
    if not low < high or width < 1:
        raise ValueError(f"low must be below high and width at least 1, got {low}, {high} and {width}")
    points = np.linspace(low, high, width + 1)
    values = np.asarray(function(points), float)
    changes = np.diff(np.diff(values) / np.diff(points), prepend=0)
    hidden = {"kernel": np.ones((1, width)), "bias": -points[:-1]}
    out = {"kernel": changes[:, None], "bias": values[:1]}
    default = lambda leaves: {name: jnp.asarray(leaf, float) for name, leaf in leaves.items()}
    return {"hidden": default(hidden), "out": default(out)}


def interpolation_bound(curvature: float, low: float, high: float, width: int) -> float:
    """The largest error of an `interpolant` where |f''| is at most curvature: curvature · h² / 8, points h apart."""
    return ((high - low) / width) ** 2 / 8 * curvature
