"""A landscape: a loss of a few numbers whose shape is known, to see what an optimizer does on it."""

from collections.abc import Callable
from dataclasses import dataclass

import jax

from fdl.recipe import Recorded, recipe

Point = tuple[float, ...]


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Landscape(Recorded):
    """A loss of a point, and what is known of it.  A value: prints, compares, hashes and pickles by its call.

    `function(x)` is a number for x of shape (dim,), differentiable by JAX.  `start` is where trajectories begin, `box`
    what is drawn: (left, right), (bottom, top).  `minima` are all that are known, in the box, and `lesson` says what
    it teaches.
    """

    function: Callable[[jax.Array], jax.Array]
    start: Point
    box: tuple[tuple[float, float], tuple[float, float]]
    minima: tuple[Point, ...]
    lesson: str

    @property
    def dim(self) -> int:
        """How many numbers a point has."""
        return len(self.start)

    @property
    def kind(self) -> str:
        """The name of the constructor: rosenbrock, cliff."""
        return self.call.kind if self.call else "landscape"


landscape = recipe(Landscape)  # the decorator of constructors of landscapes
