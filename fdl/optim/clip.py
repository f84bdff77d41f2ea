"""Gradient clipping: by value it changes the direction, by norm it does not.

A gradient that is not finite is shown, not hidden.  By norm, a NaN makes NaN of everything measured with it; an
infinite norm (an infinite entry, or a sum of squares beyond float32) makes the finite entries 0 and the infinite ones
NaN, as in torch.  By value, NaN stays NaN where it is and an infinite entry becomes the limit.
"""

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.transform import Hyper, Transform, require_number, scheduled, transform, value_at
from fdl.tree import Tree, norm


@transform
def clip_by_value(limit: Hyper = 1.0) -> Transform:
    """Every entry into [-limit, limit]."""
    require_number("limit", limit, 0.0)

    def update(updates, params, step):
        high = jnp.asarray(value_at(limit, step))
        return jax.tree.map(lambda u: jnp.clip(u, -high.astype(u.dtype), high.astype(u.dtype)), updates)

    return scheduled(update)


@transform
def clip_by_norm(limit: Hyper) -> Transform:
    """Every array whose norm exceeds the limit, scaled down to it."""
    require_number("limit", limit, 0.0)
    return scheduled(lambda updates, params, step: jax.tree.map(lambda u: _shrink(u, value_at(limit, step)), updates))


@transform
def clip_by_global_norm(limit: Hyper) -> Transform:
    """All arrays by one factor, where the norm of all together exceeds the limit.  https://arxiv.org/abs/1211.5063"""
    require_number("limit", limit, 0.0)
    return scheduled(lambda updates, params, step: _shrink(updates, value_at(limit, step)))


def _shrink(updates: Tree, limit: float | jax.Array) -> Tree:
    """The updates times min(1, limit / norm)."""
    size = norm(updates)
    limit = jnp.asarray(limit, size.dtype)
    fits = size <= limit
    factor = jnp.where(fits, 1, limit / jnp.where(fits, 1, size))
    return scale(updates, factor)
