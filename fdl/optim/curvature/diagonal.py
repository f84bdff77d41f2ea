"""Directions measured by the diagonal of the Hessian, estimated from one product with a random vector.

Both read `value_fn`, the loss on the batch of the step as a function of the parameters, which the train step passes.
Step t draws its vector from fold_in(key(seed), t): a run is a pure function of the seed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over
from fdl.optim.adaptive.squares import AdamState
from fdl.optim.curvature.line_search import require_loss
from fdl.optim.curvature.products import hessian_diagonal
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, require_whole, transform
from fdl.tree import Tree, Where, select


class SophiaState(NamedTuple):
    """Steps taken, and the running means of the gradients and of the diagonal of the Hessian."""

    step: jax.Array
    mean: Tree
    curvature: Tree


@transform
def scale_by_adahessian(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    power: float = 1.0,
    spatial: Where = (),
    every: int = 1,
    seed: int = 0,
) -> Transform:
    """Adam with the diagonal of the Hessian in place of the gradient's squares.  https://arxiv.org/abs/2006.00719

    power is the paper's k: the root of the mean square is raised to it.  In the arrays of `spatial`, the kernels of
    convolutions, the diagonal is averaged over all but the last two axes.  A new diagonal comes every so many steps.
    Raises TypeError without the loss.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    require_constant("power", power, 0.0, 1.0)
    require_whole("every", every)
    require_whole("seed", seed, 0)

    def smooth(d, meant):
        return jnp.broadcast_to(jnp.mean(d, tuple(range(d.ndim - 2)), keepdims=True), d.shape) if meant else d

    def init(params):
        require_real(params)
        select(params, spatial)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        value_fn = require_loss("scale_by_adahessian", params, extras)[2]
        step = state.step + 1

        def average(square, diagonal):
            diagonal = jax.tree.map(smooth, diagonal, select(diagonal, spatial))
            return jax.tree.map(lambda r, d: (b2 * r + (1 - b2) * d * d).astype(r.dtype), square, diagonal)

        diagonal = lambda: hessian_diagonal(value_fn, params, _key(seed, state.step))
        square = _every(every, state.step, lambda square: average(square, diagonal()), state.square)
        mean_scale, square_scale = 1 / filled(b1, step), 1 / filled(b2, state.step // every + 1)

        def rule(g, mean, square):
            mean = b1 * mean + (1 - b1) * g
            size = jnp.sqrt(square * square_scale.astype(g.dtype))
            return over(mean * mean_scale.astype(g.dtype), size if power == 1 else size**power, eps), mean, square

        updates, mean, square = each_leaf(rule, updates, state.mean, square)
        return updates, AdamState(step, mean, square)

    return Transform(init, update)


@transform
def scale_by_sophia(
    b1: float = 0.96,
    b2: float = 0.99,
    eps: float = 1e-12,
    *,
    gamma: float = 0.01,
    limit: float = 1.0,
    every: int = 10,
    normal: bool = True,
    seed: int = 0,
) -> Transform:
    """Running mean of the gradients over gamma * h, clipped at the limit; h is that of the diagonal of the Hessian.

    Sophia-H of https://arxiv.org/abs/2305.14342; a new diagonal comes every so many steps, from a normal vector, or
    from signs with normal=False.  Where gamma * h falls below eps, as where it is negative, a parameter moves by the
    limit in the sign of its mean.  Raises TypeError without the loss.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 1e-37)  # what it divides must not overflow in float32
    require_constant("gamma", gamma, 0.0)
    require_constant("limit", limit, 0.0)
    require_whole("every", every)
    require_whole("seed", seed, 0)

    def init(params):
        require_real(params)
        return SophiaState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        value_fn = require_loss("scale_by_sophia", params, extras)[2]

        def average(curvature, diagonal):
            return jax.tree.map(lambda h, d: (b2 * h + (1 - b2) * d).astype(h.dtype), curvature, diagonal)

        diagonal = lambda: hessian_diagonal(value_fn, params, _key(seed, state.step), normal=normal)
        curvature = _every(every, state.step, lambda curvature: average(curvature, diagonal()), state.curvature)

        def rule(g, mean, curvature):
            mean = b1 * mean + (1 - b1) * g
            return jnp.clip(mean / jnp.maximum(gamma * curvature, eps), -limit, limit), mean, curvature

        updates, mean, curvature = each_leaf(rule, updates, state.mean, curvature)
        return updates, SophiaState(state.step + 1, mean, curvature)

    return Transform(init, update)


def _key(seed: int, step: jax.Array) -> jax.Array:
    return jax.random.fold_in(jax.random.key(seed), step)


def _every(every: int, step: jax.Array, refresh: Callable[[Tree], Tree], old: Tree) -> Tree:
    """refresh(old) in every so many steps, old in the others."""
    return refresh(old) if every == 1 else jax.lax.cond(step % every == 0, refresh, lambda old: old, old)
