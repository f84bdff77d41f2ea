"""One difficulty at a time: bowls and valleys, a saddle, shallow minima, a plateau, a cliff."""

import math
from collections.abc import Sequence
from dataclasses import replace

import jax.numpy as jnp

from fdl.inspection.landscapes.landscape import Landscape, landscape
from fdl.optim import require_constant

POSITIVE = math.ulp(0.0)


@landscape
def quadratic(eigenvalues: Sequence[float] = (1.0, 1.0), *, angle: float = 0.0) -> Landscape:
    """Half the sum of eigenvalue x²; the first two axes are turned by this angle, in radians.  (dim,) -> ()

    Gradient descent multiplies each coordinate by 1 - learning_rate * eigenvalue: it diverges exactly where a learning
    rate is above 2 / eigenvalue.  Raises ValueError for fewer than two eigenvalues.
    """
    if len(eigenvalues) < 2:
        raise ValueError(f"eigenvalues must be two numbers or more, got {eigenvalues!r}")
    for eigenvalue in eigenvalues:
        require_constant("eigenvalues", eigenvalue)
    require_constant("angle", angle)
    cos, sin = math.cos(angle), math.sin(angle)
    curvature = tuple(map(float, eigenvalues))

    def function(x):
        turned = jnp.concatenate([jnp.stack([cos * x[0] + sin * x[1], cos * x[1] - sin * x[0]]), x[2:]])
        return 0.5 * jnp.sum(jnp.asarray(curvature, x.dtype) * turned * turned)

    start = (-2.0, 1.5) + (1.0,) * (len(curvature) - 2)
    minima = ((0.0,) * len(curvature),) if min(curvature) > 0 else ()
    lesson = "What an optimizer does along one axis, it does not know of the others."
    return Landscape(function, start, ((-2.5, 2.5), (-2.0, 2.0)), minima, lesson)


@landscape
def bowl(curvature: float = 1.0) -> Landscape:
    """A round bowl, curvature |x|² / 2.  (2,) -> ()"""
    require_constant("curvature", curvature, POSITIVE)
    lesson = "Where every direction is alike, plain gradient descent is as good as anything."
    return replace(quadratic((curvature, curvature)), lesson=lesson)


@landscape
def valley(condition: float = 40.0, *, angle: float = 0.35) -> Landscape:
    """A long narrow valley: a quadratic with eigenvalues 1 and `condition`, turned by an angle in radians.  (2,) -> ()

    With angle=0 it lies along an axis, where a rate for each coordinate alone makes it round.
    """
    require_constant("condition", condition, 1.0)
    lesson = "The walls bound the learning rate, and the way along the floor is long: momentum is for this."
    start = (-1.9 * math.cos(angle) - 0.45 * math.sin(angle), -1.9 * math.sin(angle) + 0.45 * math.cos(angle))
    return replace(quadratic((1.0, condition), angle=angle), start=start, lesson=lesson)


@landscape
def saddle() -> Landscape:
    """x² / 2 - y² / 2 + y⁴ / 4: a saddle at 0 with curvatures 1 and -1, between minima at (0, ±1).  (2,) -> ()

    Gradient descent from height y leaves at the rate 1 + learning_rate: after about log(1 / y) / learning_rate steps.
    """

    def function(x):
        return 0.5 * x[0] ** 2 - 0.5 * x[1] ** 2 + 0.25 * x[1] ** 4

    lesson = "Near a saddle the gradient is small without a minimum being near; who is slow there stays long."
    return Landscape(function, (-1.6, 1e-3), ((-2.0, 2.0), (-1.6, 1.6)), ((0.0, -1.0), (0.0, 1.0)), lesson)


@landscape
def shallow_minima(depth: float = 0.12, bend: float = 0.1) -> Landscape:
    """A wide bowl with a row of dents: y² / 2 + bend x² / 2 - depth cos(2 pi x).  (2,) -> ()

    The dents are near whole x, the lowest at 0.  Raises ValueError where the bowl is too steep for dents.
    """
    require_constant("depth", depth, POSITIVE)
    require_constant("bend", bend, 0.0)
    steepest = 2 * math.pi * depth  # the slope of a dent's walls
    if 2.25 * bend >= steepest:
        raise ValueError(f"bend={bend} leaves no dents of depth={depth}: it must be below {steepest / 2.25:.3g}")

    def function(x):
        return 0.5 * x[1] ** 2 + 0.5 * bend * x[0] ** 2 - depth * jnp.cos(2 * math.pi * x[0])

    def dent(n):
        x = float(n)
        for _ in range(60):
            x = n - math.asin(bend * x / steepest) / (2 * math.pi)
        return x

    minima = tuple((dent(n), 0.0) for n in range(-2, 3))
    lesson = "Gradient descent stops in the first dent; momentum and large steps roll over it."
    return Landscape(function, (-2.45, 0.9), ((-2.7, 2.7), (-1.3, 1.3)), minima, lesson)


@landscape
def plateau(width: float = 1.0) -> Landscape:
    """A hole in a plain, 1 - exp(-|x|² / (2 width²)): far from it there is next to no gradient.  (2,) -> ()"""
    require_constant("width", width, POSITIVE)

    def function(x):
        return 1 - jnp.exp(-0.5 * jnp.sum(x * x) / width**2)

    lesson = "On a plateau gradients vanish: steps in proportion to them do too, steps of a fixed size do not."
    return Landscape(function, (-3.2, 1.6), ((-4.0, 2.0), (-2.0, 2.5)), ((0.0, 0.0),), lesson)


@landscape
def cliff(steepness: float = 8.0) -> Landscape:
    """A gentle slope that ends at a wall: exp(steepness (x - 1)) - x + y² / 2.  (2,) -> ()

    At x = 2 the wall rises by some 24,000 per unit.  The minimum is in front of it, at x = 1 - log(steepness) /
    steepness.
    """
    require_constant("steepness", steepness, POSITIVE)

    def function(x):
        return jnp.exp(steepness * (x[0] - 1)) - x[0] + 0.5 * x[1] ** 2

    minima = ((1 - math.log(steepness) / steepness, 0.0),)
    lesson = "One step into the wall and its gradient undoes all the steps before: clip it."
    return Landscape(function, (-2.0, 1.4), ((-3.0, 2.0), (-1.8, 1.8)), minima, lesson)
