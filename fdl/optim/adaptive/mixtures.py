"""Mixtures of a fast and a slow memory of gradients, in Adam's units."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.adaptive.squares import AdamState
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.schedules.standard import schedule
from fdl.optim.transform import Hyper, Schedule, Transform, require_constant, require_number, transform, value_at
from fdl.tree import Tree


class AdEMAMixState(NamedTuple):
    """Steps taken, fast and slow running means of the gradients, and the running mean of their squares."""

    step: jax.Array
    fast: Tree
    slow: Tree
    square: Tree


@transform
def scale_by_ademamix(
    b1: float = 0.9, b2: float = 0.999, b3: Hyper = 0.9999, alpha: Hyper = 5.0, eps: float = 1e-8
) -> Transform:
    """Adam with alpha times a slow mean of decay b3 added to its own.  https://arxiv.org/abs/2409.03137

    The slow mean is not corrected for its start at 0.  In long runs the paper lets alpha grow from 0 and b3 from b1:
    `ademamix(..., warmup=steps)` makes these schedules.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_number("b3", b3, 0.0, BELOW_ONE)
    require_number("alpha", alpha, 0.0)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return AdEMAMixState(jnp.zeros((), jnp.int32), *(moments(params) for _ in range(3)))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        decay, share = value_at(b3, state.step), value_at(alpha, state.step)
        mean_scale, square_scale = 1 / filled(b1, step), 1 / filled(b2, step)

        def rule(g, fast, slow, square):
            keep = jnp.asarray(decay, g.dtype)
            fast = b1 * fast + (1 - b1) * g
            slow = keep * slow + (1 - keep) * g
            square = b2 * square + (1 - b2) * (g * g)
            s = fast * mean_scale.astype(g.dtype) + jnp.asarray(share, g.dtype) * slow
            return over_root(s, square * square_scale.astype(g.dtype), eps), fast, slow, square

        updates, *moved = each_leaf(rule, updates, *state[1:])
        return updates, AdEMAMixState(step, *moved)

    return Transform(init, update)


@transform
def scale_by_simplified_ademamix(
    b1: float = 0.99, b2: float = 0.95, alpha: Hyper = 0.0, eps: float = 1e-8
) -> Transform:
    """alpha times the gradient beside one memory, the sum of b1^k g: in Adam's units.  https://arxiv.org/abs/2502.02431

    The memory is a sum and no mean: the learning rate must be smaller than Adam's by 1 - b1.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_number("alpha", alpha, 0.0)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        share, square_scale = value_at(alpha, state.step), 1 / filled(b2, step)

        def rule(g, total, square):
            total = b1 * total + g
            square = b2 * square + (1 - b2) * (g * g)
            s = total + jnp.asarray(share, g.dtype) * g
            return over_root(s, square * square_scale.astype(g.dtype), eps), total, square

        updates, total, square = each_leaf(rule, updates, state.mean, state.square)
        return updates, AdamState(step, total, square)

    return Transform(init, update)


@schedule
def half_life(start: float, end: float, steps: int) -> Schedule:
    """A decay whose half-life grows in a straight line from that of start to that of end.

    The first step is one part of the way already, as in https://arxiv.org/abs/2409.03137.
    """
    require_constant("start", start, math.ulp(0.0), BELOW_ONE)
    require_constant("end", end, start, BELOW_ONE)
    require_constant("steps", steps, 1)

    def decay(step):
        part = jnp.minimum((jnp.asarray(step, float) + 1) / steps, 1)
        return jnp.exp(1 / ((1 - part) / math.log(start) + part / math.log(end)))

    return decay
