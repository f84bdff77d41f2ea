"""Constraints: after every step the parameters are put back into a set, by the nearest point or by a shrink.

A projection maps an array to one in the set.  Norms are taken over `axis`, by default over all axes but the last: the
weights of one output.  For kernels stacked by `repeat` name the axes: max_norm(3.0, axis=-2).
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp

from fdl.optim.transform import Transform, only, require_constant, stateless, transform
from fdl.recipe import Function, recipe
from fdl.tree import Where, require_like, widen

Axes: TypeAlias = int | Sequence[int] | None
Projection: TypeAlias = Callable[[jax.Array], jax.Array]

projection = recipe(Function)
"""Decorate a constructor of projections: what it makes remembers the constructor and its arguments."""


@transform
def project(onto: Projection, where: Where = "**/kernel") -> Transform:
    """Change updates so that parameter + update lies in the set, for the parameters meant; last in a chain.

    Up to the rounding of that sum.  Raises TreeError where a pattern matches no parameter.
    """

    def move(update, param):
        wide = widen(param)
        return (onto(wide + update.astype(wide.dtype)) - wide).astype(update.dtype)

    def update(updates, params):
        if params is None:
            raise TypeError("project needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        return jax.tree.map(move, updates, params)

    return only(stateless(update), where)


@projection
def max_norm(limit: float, axis: Axes = None) -> Projection:
    """Scaled down to this norm where it is larger: the nearest point of the ball.  https://arxiv.org/abs/1207.0580"""
    require_constant("limit", limit, 0.0)
    return min_max_norm(0.0, limit, axis=axis)


@projection
def unit_norm(axis: Axes = None) -> Projection:
    """Scaled to norm 1; zeros stay zeros."""
    return min_max_norm(1.0, 1.0, axis=axis)


@projection
def min_max_norm(low: float, high: float, *, rate: float = 1.0, axis: Axes = None) -> Projection:
    """Scaled so that the norm goes the part `rate` of the way into [low, high]; zeros stay zeros."""
    require_constant("low", low, 0.0)
    require_constant("high", high, low)
    require_constant("rate", rate, 0.0, 1.0)

    def scaled(x):
        axes = tuple(range(x.ndim - 1)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axes, keepdims=True))
        wanted = rate * jnp.clip(norm, low, high) + (1 - rate) * norm
        return jnp.where(wanted == norm, x, x * (wanted / jnp.where(norm == 0, 1, norm)))

    return scaled


def non_negative(x: jax.Array) -> jax.Array:
    """0 in the place of negative numbers."""
    return jnp.maximum(x, 0)
