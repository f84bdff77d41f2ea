"""ADOPT: Adam that divides each gradient by the squares of those before it alone, and converges with any b2."""

import math

import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.adaptive.squares import AdamState
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform


@transform
def scale_by_adopt(
    b1: float = 0.9, b2: float = 0.9999, eps: float = 1e-6, *, clip_power: float | None = 0.25
) -> Transform:
    """Running mean of g / max(sqrt(r), eps), where r does not contain g yet.  https://arxiv.org/abs/2411.02853

    The first gradient only fills the squares: its step is 0.  From then on the quotient of step t is clipped at
    t^clip_power, as in algorithm 2; clip_power=None does not clip.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, math.ulp(0.0))
    if clip_power is not None:
        require_constant("clip_power", clip_power, 0.0)

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        first = state.step == 0
        limit = None if clip_power is None else jnp.asarray(state.step, float) ** clip_power

        def rule(g, mean, square):
            quotient = g / jnp.maximum(jnp.sqrt(square), eps)
            if limit is not None:
                quotient = jnp.clip(quotient, -limit.astype(g.dtype), limit.astype(g.dtype))
            mean = jnp.where(first, 0, b1 * mean + (1 - b1) * quotient)
            return mean, mean, jnp.where(first, g * g, b2 * square + (1 - b2) * (g * g))

        updates, mean, square = each_leaf(rule, updates, state.mean, state.square)
        return updates, AdamState(state.step + 1, mean, square)

    return Transform(init, update)
