"""The classic test functions, as published."""

import math

import jax.numpy as jnp

from fdl.inspection.landscapes.landscape import Landscape, landscape


@landscape
def rosenbrock(dim: int = 2) -> Landscape:
    """The banana valley, the sum of 100 (x' - x²)² + (1 - x)² over neighbours.  (dim,) -> ()

    Its minimum is 0 at ones.  In 4 to 7 dimensions there is a second, local one near x[0] = -1.
    Rosenbrock 1960, https://doi.org/10.1093/comjnl/3.3.175
    """
    _require_dim(dim, 2)

    def function(x):
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    start = tuple(-1.2 if i % 2 == 0 else 1.0 for i in range(dim))
    lesson = "The valley is found at once and followed for ever: its floor turns, and hardly falls."
    return Landscape(function, start, ((-1.8, 1.8), (-0.8, 2.2)), ((1.0,) * dim,), lesson)


@landscape
def beale() -> Landscape:
    """The sum of (c - x + x yⁿ)² for c = 1.5, 2.25, 2.625 and n = 1, 2, 3: a flat floor.  (2,) -> ()

    Its minimum is 0 at (3, 0.5), and there is a saddle at (0, 1).
    Moré, Garbow & Hillstrom 1981, function 5, https://doi.org/10.1145/355934.355936
    """

    def function(x):
        terms = [c - x[0] + x[0] * x[1] ** n for n, c in ((1, 1.5), (2, 2.25), (3, 2.625))]
        return jnp.sum(jnp.square(jnp.stack(terms)))

    lesson = "Gradients of a thousand and of a thousandth on one way: no single learning rate fits both."
    return Landscape(function, (1.0, 1.5), ((-0.7, 4.0), (-1.6, 2.0)), ((3.0, 0.5),), lesson)


@landscape
def himmelblau() -> Landscape:
    """(x² + y - 11)² + (x + y² - 7)²: four minima of value 0.  (2,) -> ()

    Himmelblau 1972, Applied Nonlinear Programming
    """

    def function(x):
        return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2

    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    lesson = "Four minima equally good: which one is found is decided by the start and the first steps."
    return Landscape(function, (-4.5, 0.2), ((-5.0, 5.0), (-5.0, 5.0)), minima, lesson)


@landscape
def rastrigin(dim: int = 2) -> Landscape:
    """An egg box, the sum of x² + 10 (1 - cos 2 pi x): a minimum near every whole point, 0 at 0.  (dim,) -> ()

    Rastrigin 1974, as generalised by Mühlenbein et al. 1991, https://doi.org/10.1016/S0167-8191(05)80052-3
    """
    _require_dim(dim, 1)

    def function(x):
        return jnp.sum(x * x + 10 * (1 - jnp.cos(2 * math.pi * x)))

    start = tuple(2.3 if i % 2 == 0 else -1.7 for i in range(dim))
    lesson = "No gradient leads to the lowest of many minima: a descent ends in the one it starts at."
    return Landscape(function, start, ((-3.0, 3.0), (-3.0, 3.0)), ((0.0,) * dim,), lesson)


@landscape
def monkey_saddle() -> Landscape:
    """x³ - 3 x y²: three ways down and three ways up, and no curvature at all at 0.  (2,) -> ()

    It falls without end.
    """

    def function(x):
        return x[0] ** 3 - 3 * x[0] * x[1] ** 2

    lesson = "At 0 the gradient and the whole Hessian vanish: second derivatives do not show the way down either."
    return Landscape(function, (0.9, 1e-2), ((-1.5, 1.5), (-1.5, 1.5)), (), lesson)


def _require_dim(dim: int, least: int) -> None:
    if isinstance(dim, bool) or not isinstance(dim, int) or dim < least:
        raise ValueError(f"dim must be a whole number, at least {least}, got {dim!r}")
