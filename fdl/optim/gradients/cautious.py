"""Directions corrected by what they come from: kept where they agree with the gradient, or turned along the sphere.

Both wrap the transform that makes the direction, so they see what enters it and what leaves it.
"""

import math

import jax
import jax.numpy as jnp

from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Where, require_like, select, widen


@transform
def cautious(inner: Transform, xi: float = 1.0) -> Transform:
    """The direction of inner where its sign is that of the gradient; the rest is 0.  https://arxiv.org/abs/2411.16085

    What is kept of n entries of an array is scaled by n / (kept + xi).  inner must give a direction uphill, as
    scale_by_adam and scale_by_lion do: it stands in front of the learning rate and of weight decay.
    """
    require_constant("xi", xi, 0.0)

    def update(updates, state, params=None, **extras):
        directions, state = inner.update(updates, state, params, **extras)

        def mask(u, g):
            u = widen(u)
            kept = ~(u * jnp.sign(g).astype(u.dtype) <= 0)  # a NaN is kept, to be seen
            count = jnp.sum(kept, dtype=u.dtype) + xi
            return jnp.where(kept, u * (u.size / jnp.where(count > 0, count, 1)), 0).astype(g.dtype)

        return jax.tree.map(mask, directions, updates), state

    return Transform(inner.init, update)


@transform
def tangential(inner: Transform, delta: float = 0.1, where: Where = "**/kernel") -> Transform:
    """The direction of inner without the part that only changes the norm of the weights.

    For weights in front of a normalization, whose gradient is orthogonal to them: the part is taken out where
    |cos(weights, gradient)| < delta / sqrt(n), of every output of an array (its last axis) if this holds for all of
    them, else of the array as a whole if it holds for it, else not at all; arrays not meant pass as they are.  This is
    the projection of AdamP and SGDP, https://arxiv.org/abs/2006.08217; the authors' code, where it projects, also
    divides weight decay by 10, which is not done here.
    """
    require_constant("delta", delta, 0.0)

    def init(params):
        select(params, where)
        return inner.init(params)

    def update(updates, state, params=None, **extras):
        if params is None:
            raise TypeError("tangential needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        directions, state = inner.update(updates, state, params, **extras)
        turn = lambda meant, u, g, p: _turn(u, g, p, delta) if meant else u
        return jax.tree.map(turn, select(params, where), directions, updates, params), state

    return Transform(init, update)


def _turn(u: jax.Array, g: jax.Array, p: jax.Array, delta: float) -> jax.Array:
    if u.size == 0:
        return u
    wide = widen(u).dtype
    by_output = lambda x: x.astype(wide).reshape(-1, x.shape[-1] if x.ndim > 1 else 1)
    whole = lambda x: x.astype(wide).reshape(-1, 1)
    result = u.astype(wide)
    for view in (whole, by_output):  # the last that applies counts
        w, direction = _unit(view(p)), view(u)
        cosine = jnp.abs(jnp.sum(w * _unit(view(g)), 0))
        along = jnp.sum(w * direction, 0, keepdims=True)
        turned = (direction - w * jnp.broadcast_to(along, w.shape)).reshape(u.shape)
        result = jnp.where(jnp.max(cosine) < delta / math.sqrt(w.shape[0]), turned, result)
    return result.astype(u.dtype)


def _unit(x: jax.Array) -> jax.Array:
    """Columns of length 1; columns of zeros stay."""
    size = jnp.sqrt(jnp.sum(jnp.square(x), 0, keepdims=True))
    return x / jnp.broadcast_to(jnp.where(size == 0, 1, size), x.shape)
