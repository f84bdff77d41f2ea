"""Gradient clipping: by value it changes the direction, by norm it does not.

A gradient that is not finite is shown, not hidden.  By norm, a NaN makes NaN of everything measured with it; an
infinite norm (an infinite entry, or a sum of squares beyond float32) makes the finite entries 0 and the infinite ones
NaN, as in torch.  By value, NaN stays NaN where it is and an infinite entry becomes the limit.  Zeros stay zeros.
"""

import math

import jax
import jax.numpy as jnp

from fdl.optim.constraints.project import Axes
from fdl.optim.leaves import scale
from fdl.optim.points import beside_params
from fdl.optim.transform import Hyper, Transform, require_constant, require_number, scheduled, transform, value_at
from fdl.tree import Tree, Where, norm


@transform
def clip_by_value(limit: Hyper = 1.0) -> Transform:
    """Every entry into [-limit, limit]."""
    require_number("limit", limit, 0.0)

    def update(updates, params, step):
        high = jnp.asarray(value_at(limit, step))
        return jax.tree.map(lambda u: jnp.clip(u, -high.astype(u.dtype), high.astype(u.dtype)), updates)

    return scheduled(update, limit)


@transform
def clip_by_norm(limit: Hyper) -> Transform:
    """Every array whose norm exceeds the limit, scaled down to it."""
    require_number("limit", limit, 0.0)

    def update(updates, params, step):
        return jax.tree.map(lambda u: _shrink(u, value_at(limit, step)), updates)

    return scheduled(update, limit)


@transform
def clip_by_block_rms(limit: Hyper = 1.0) -> Transform:
    """Every array whose root mean square exceeds the limit, scaled down to it.  https://arxiv.org/abs/1804.04235"""
    require_number("limit", limit, 0.0)

    def update(updates, params, step):
        return jax.tree.map(lambda u: _shrink(u, value_at(limit, step) * math.sqrt(u.size)), updates)

    return scheduled(update, limit)


@transform
def clip_by_global_norm(limit: Hyper) -> Transform:
    """All arrays by one factor, where the norm of all together exceeds the limit.  https://arxiv.org/abs/1211.5063"""
    require_number("limit", limit, 0.0)
    return scheduled(lambda updates, params, step: _shrink(updates, value_at(limit, step)), limit)


@transform
def adaptive_clip(
    limit: Hyper = 0.01, eps: float = 1e-3, *, where: Where = "**/kernel", axis: Axes = None
) -> Transform:
    """Every unit whose norm exceeds limit times the norm of its weights, scaled down to that.

    A unit is what `axis` runs over: by default all axes but the last, the weights of one output; a vector is one unit.
    Weights count as eps at least, so that those that start at 0 can move.  The paper leaves the last layer out.
    Raises TreeError where a pattern matches no parameter.  https://arxiv.org/abs/2102.06171
    """
    require_number("limit", limit, 0.0)
    require_constant("eps", eps, 0.0)

    def shrink(u, p, step):
        size = unit_norms(u, axis)
        most = jnp.maximum(unit_norms(p, axis), eps)
        return u * _factor(size, jnp.asarray(value_at(limit, step), size.dtype) * most).astype(u.dtype)

    return beside_params("adaptive_clip", shrink, where, limit)


def unit_norms(x: jax.Array, axis: Axes = None) -> jax.Array:
    """The norm of each unit, with the axes it runs over kept as 1."""
    return jnp.sqrt(jnp.sum(jnp.square(jnp.abs(x)), unit_axes(x, axis), keepdims=True))


def unit_axes(x: jax.Array, axis: Axes = None) -> tuple[int, ...]:
    """The axes that a unit runs over: all but the last unless named, and the only one of a vector."""
    if axis is None:
        return tuple(range(max(x.ndim - 1, min(x.ndim, 1))))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _shrink(updates: Tree, limit: float | jax.Array) -> Tree:
    """The updates times min(1, limit / norm)."""
    size = norm(updates)
    return scale(updates, _factor(size, jnp.asarray(limit, size.dtype)))


def _factor(size: jax.Array, limit: jax.Array) -> jax.Array:
    """min(1, limit / size); 0 where the size is infinite, NaN where it is NaN."""
    fits = size <= limit
    return jnp.where(fits, 1, limit / jnp.where(fits, 1, size))
