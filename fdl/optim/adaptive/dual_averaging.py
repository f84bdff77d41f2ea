"""MADGRAD: the parameters are the start minus all gradients so far, in units of the cube root of their squares."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import over
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Hyper, Transform, require_constant, require_number, require_state, transform, value_at
from fdl.tree import Tree


class MadgradState(NamedTuple):
    """Steps taken, weighted sums of the gradients and of their squares, and the first parameters."""

    step: jax.Array
    total: Tree
    square: Tree
    start: Tree


@transform
def madgrad(learning_rate: Hyper = 1e-2, momentum: float = 0.9, *, eps: float = 1e-6) -> Transform:
    """Dual averaging with Adagrad's idea and momentum.  https://arxiv.org/abs/2101.11075

    w = learning_rate √t;  s ← s + w g;  v ← v + w g²;  Δ = (1 − momentum) (x₀ − s / (∛v + eps) − x)

    The parameters move by 1 - momentum of the way to start - total / (cbrt(square) + eps).  With eps = 0 a parameter
    that has never had a gradient does not move.  The learning rate is part of the sums: nothing may follow in a chain.
    """
    require_number("learning_rate", learning_rate, 0.0)
    require_constant("momentum", momentum, 0.0, 1.0)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        start = jax.tree.map(lambda zero, p: zero + p.astype(zero.dtype), moments(params), params)
        return MadgradState(jnp.zeros((), jnp.int32), moments(params), moments(params), start)

    def update(updates, state, params=None, **extras):
        require_state(state, MadgradState)
        if params is None:
            raise TypeError("madgrad needs the parameters: call update(updates, opt_state, params)")
        weight = value_at(learning_rate, state.step) * jnp.sqrt(jnp.asarray(state.step, float) + 1)

        def rule(g, total, square, start, p):
            own = weight.astype(g.dtype)
            total, square = total + own * g, square + own * (g * g)
            goal = start - over(total, jnp.cbrt(square), eps)
            return (1 - momentum) * (goal - p.astype(g.dtype)), total, square, start, p

        updates, *moved, _ = each_leaf(rule, updates, *state[1:], params)
        return updates, MadgradState(state.step + 1, *moved)

    return Transform(init, update)
