"""Projections onto convex sets: the nearest point of the set, for `project`.

Here the whole array is one vector; those on the norm of each output are in constraints.py: the Euclidean ball is
`max_norm`, the sphere `unit_norm` or `min_max_norm(r, r)`, the non-negative numbers `non_negative`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.optim.constraints.project import Projection, projection
from fdl.optim.transform import require_constant


@projection
def box(low: float, high: float) -> Projection:
    """Every number into [low, high]; box(-r, r) is the ball of the largest magnitude, box(0, 1) the hypercube."""
    require_constant("low", low)
    require_constant("high", high, low)
    return lambda x: jnp.clip(x, low, high)


@projection
def hyperplane(normal: Any, offset: float = 0.0) -> Projection:
    """normal · x = offset."""
    require_constant("offset", offset)
    return lambda x: _towards(x, normal, lambda excess: excess, offset)


@projection
def halfspace(normal: Any, offset: float = 0.0) -> Projection:
    """normal · x <= offset."""
    require_constant("offset", offset)
    return lambda x: _towards(x, normal, lambda excess: jnp.maximum(excess, 0), offset)


@projection
def line(direction: Any) -> Projection:
    """The multiples of a vector: (x · v) / (v · v) v."""

    def along(x):
        v = _like(direction, x, "direction")
        return jnp.sum(v * x) / jnp.sum(v * v) * v

    return along


@projection
def simplex(total: float = 1.0) -> Projection:
    """Non-negative numbers with this sum: probabilities.  Duchi et al. 2008, https://doi.org/10.1145/1390156.1390191"""
    require_constant("total", total, math.ulp(0.0))
    return lambda x: _simplex(x, total)


@projection
def l1_ball(radius: float = 1.0) -> Projection:
    """Magnitudes with at most this sum."""
    require_constant("radius", radius, math.ulp(0.0))
    return lambda x: jnp.where(jnp.sum(jnp.abs(x)) <= radius, x, _l1_sphere(x, radius))


@projection
def l1_sphere(radius: float = 1.0) -> Projection:
    """Magnitudes with this sum; not convex: a point inside goes to one of the nearest, with zeros taken as positive."""
    require_constant("radius", radius, math.ulp(0.0))
    return lambda x: _l1_sphere(x, radius)


def _l1_sphere(x: jax.Array, radius: float) -> jax.Array:
    return jnp.where(x < 0, -1, 1) * _simplex(jnp.abs(x), radius)


def _simplex(x: jax.Array, total: float) -> jax.Array:
    """Everything less one threshold, negatives to 0: the threshold at which the sum is right, from sorted values."""
    falling = jnp.sort(x.ravel())[::-1]
    thresholds = (jnp.cumsum(falling) - total) / jnp.arange(1, x.size + 1, dtype=x.dtype)
    # The numbers that stay are the largest ones, as long as they exceed their own threshold.
    last = jnp.sum(falling > thresholds) - 1
    return jnp.maximum(x - thresholds[last], 0)


def _towards(x: jax.Array, normal: Any, part, offset: float) -> jax.Array:
    normal = _like(normal, x, "normal")
    excess = jnp.sum(normal * x) - offset
    return x - part(excess) / jnp.sum(normal * normal) * normal


def _like(vector: Any, x: jax.Array, name: str) -> jax.Array:
    vector = jnp.asarray(vector).astype(x.dtype)
    require_shape(vector, *x.shape, name=name, hint="it must have the shape of the parameter")
    return vector
