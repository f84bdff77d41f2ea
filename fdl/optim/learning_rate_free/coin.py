"""Coin betting: every parameter bets on its own gradients a part of what it has won so far."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.points import point, require_params
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class CocobState(NamedTuple):
    """Sum of the negative gradients, their largest magnitude, the sum of magnitudes, the gain, the first parameters."""

    total: Tree
    largest: Tree
    length: Tree
    reward: Tree
    start: Tree


@transform
def cocob(alpha: float = 100.0, eps: float = 1e-8) -> Transform:
    """COCOB-Backprop: no learning rate at all.  https://arxiv.org/abs/1705.07795, algorithm 2

    L ← max(L, |g|);  n ← n + |g|;  r ← max(r − (x − x₀) g, 0);  s ← s − g
    x ← x₀ + s (L + r) / (L max(n + L, alpha L))

    The largest gradient so far starts at eps, which the paper leaves at 0.  Nothing may follow in a chain.
    """
    require_constant("alpha", alpha, 0.0)
    require_constant("eps", eps, math.ulp(0.0))

    def init(params):
        require_real(params)
        return CocobState(moments(params), moments(params, eps), moments(params), moments(params), point(params))

    def update(updates, state, params=None, **extras):
        require_params("cocob", updates, params)

        def rule(g, total, largest, length, reward, start, p):
            p = p.astype(g.dtype)
            largest, length = jnp.maximum(largest, jnp.abs(g)), length + jnp.abs(g)
            reward, total = jnp.maximum(reward - (p - start) * g, 0), total - g
            goal = start + total / (largest * jnp.maximum(length + largest, alpha * largest)) * (largest + reward)
            return goal - p, total, largest, length, reward, start, p

        updates, *moved, _ = each_leaf(rule, updates, *state, params)
        return updates, CocobState(*moved)

    return Transform(init, update)
