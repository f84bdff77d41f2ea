"""FTRL-Proximal: every step solves for the parameters anew, from all gradients so far, and can make them exactly 0."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.points import require_params
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class FTRLState(NamedTuple):
    """The paper's z, gradients less what the parameters made up for, and the sums of squares."""

    total: Tree
    square: Tree


@transform
def ftrl(learning_rate: float = 0.1, beta: float = 1.0, *, l1: float = 0.0, l2: float = 0.0) -> Transform:
    """Follow the regularised leader: of all gradients so far, with exact zeros by l1, for each number.

    z ← z + g − (√(n + g²) − √n) x / learning_rate;  n ← n + g²
    x ← −sign(z) (|z| − l1)₊ / ((beta + √n) / learning_rate + l2)

    The parameters are a function of z and n, so
    the first step leaves none of what they were: start from 0, as for a linear model.  Nothing may follow in a chain.
    McMahan et al. 2013, https://doi.org/10.1145/2487575.2488200, algorithm 1
    """
    require_constant("learning_rate", learning_rate, math.ulp(0.0))
    require_constant("beta", beta, math.ulp(0.0))
    require_constant("l1", l1, 0.0)
    require_constant("l2", l2, 0.0)

    def init(params):
        require_real(params)
        return FTRLState(moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        require_params("ftrl", updates, params)

        def rule(g, total, square, p):
            after = square + g * g
            total = total + g - (jnp.sqrt(after) - jnp.sqrt(square)) / learning_rate * p.astype(g.dtype)
            shrunk = jnp.sign(total) * jnp.maximum(jnp.abs(total) - l1, 0)
            goal = -shrunk / ((beta + jnp.sqrt(after)) / learning_rate + l2)
            return goal - p.astype(g.dtype), total, after, p

        updates, total, square, _ = each_leaf(rule, updates, state.total, state.square, params)
        return updates, FTRLState(total, square)

    return Transform(init, update)
