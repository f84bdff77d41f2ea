"""Slices of a loss: its values along one random direction from the parameters, or on the plane of two."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_key
from fdl.tree import Tree, add_scaled, require_like, widen


class Slice(NamedTuple):
    """How far along each direction, (points,), and the values there: (points,), or (points, points) of two."""

    steps: jax.Array
    values: jax.Array


def loss_slice(
    f: Callable[[Tree], jax.Array], params: Tree, *directions: Tree, radius: float = 1.0, points: int = 41
) -> Slice:
    """f(params + a u), or f(params + a u + b v), for a and b from -radius to radius; the middle is params itself.

    values[i] is that at a = steps[i], values[i, j] that at a = steps[i], b = steps[j].  Computed one point at a time,
    in the memory of one.  Raises TreeError unless the directions have the form of params, ValueError unless there are
    one or two, and an odd number of points.
    """
    if len(directions) not in (1, 2):
        raise ValueError(f"there must be one direction or two, got {len(directions)}")
    if isinstance(points, bool) or not isinstance(points, int) or points < 3 or points % 2 == 0:
        raise ValueError(f"points must be an odd number from 3 on, so that params are in the middle, got {points!r}")
    for direction in directions:
        require_like(direction, params, "direction", "parameters", dtypes=False)
    steps = jnp.linspace(-radius, radius, points)

    def value(*by):
        moved = params
        for step, direction in zip(by, directions):
            moved = add_scaled(moved, step, direction)
        return f(moved)

    row = lambda *by: jax.lax.map(lambda step: value(*by, step), steps)
    return Slice(steps, row() if len(directions) == 1 else jax.lax.map(row, steps))


def filter_direction(params: Tree, key: jax.Array) -> Tree:
    """A random direction in which the weights of each output are as long as those of params; 0 for biases and scales.

    So a step of 1 means the same for weights large and small, whose size a network may not feel.
    https://arxiv.org/abs/1712.09913, section 4.  For kernels stacked by `repeat` an output is one of all repetitions.
    """
    require_key(key)
    leaves, form = jax.tree.flatten(params)
    return form.unflatten([_as_long_as(leaf, jax.random.fold_in(key, i)) for i, leaf in enumerate(leaves)])


def _as_long_as(leaf: jax.Array, key: jax.Array) -> jax.Array:
    if jnp.ndim(leaf) < 2:
        return jnp.zeros_like(leaf)
    length = lambda x: jnp.sqrt(jnp.sum(jnp.square(x), axis=tuple(range(x.ndim - 1)), keepdims=True))
    wide = widen(leaf)
    drawn = jax.random.normal(key, wide.shape, wide.dtype)
    return (drawn * (length(wide) / length(drawn))).astype(leaf.dtype)
