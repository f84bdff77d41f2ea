"""ACProp: each gradient is measured by the spread of those before it."""

from typing import Any

import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.adaptive.squares import AdamState
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Hyper, Transform, chain, require_constant, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Where


@transform
def scale_by_acprop(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16) -> Transform:
    """g / (sqrt(r / (1 - b2^(t-1))) + eps) with the r of the step before; then m and r take g in.

    m = b1 m + (1 - b1) g, r = b2 r + (1 - b2) (g - m)^2 + eps.  The first step has no r: its direction is g.
    https://arxiv.org/abs/2110.05454, algorithm 2
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        first = state.step == 0
        square_scale = 1 / filled(b2, jnp.maximum(state.step, 1))

        def rule(g, mean, square):
            unit = over_root(g, square * square_scale.astype(g.dtype), eps)
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * jnp.square(g - mean) + eps
            return jnp.where(first, g, unit), mean, square

        updates, mean, square = each_leaf(rule, updates, state.mean, state.square)
        return updates, AdamState(state.step + 1, mean, square)

    return Transform(init, update)


@transform
def acprop(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 0.0, where: Where = "**/kernel", **acprop: Any
) -> Transform:
    """AdaBelief in which a gradient is measured by those before it; the other arguments are those of `scale_by_acprop`.

    Δ = −learning_rate (g / (√v̂ + eps) + weight_decay x);  m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) (g − m)² + eps

    https://arxiv.org/abs/2110.05454
    """
    direction = chain(scale_by_acprop(**acprop), add_weight_decay(weight_decay, where))
    return chain(direction, scale_by_learning_rate(learning_rate))
