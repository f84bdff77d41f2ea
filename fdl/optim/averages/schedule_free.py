"""Schedule-free learning: gradients are taken between a fast point z and its average x, and x is the result.

The parameters are y = (1 - b1) z + b1 x, the state holds z, and `averaged(opt_state, params)` recovers x: evaluate it.
The average takes the place of momentum and of a learning rate that falls; a warm-up is still of use.  A point counts
like its squared rate, as the paper says; the authors' code takes the largest rate so far, which differs where it falls.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.laprop import scale_by_squares
from fdl.optim.adaptive.running import BELOW_ONE, filled
from fdl.optim.adaptive.squares import scale_by_rmsprop
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.points import moved, point, require_params, way_to
from fdl.optim.transform import (
    Hyper,
    Transform,
    chain,
    require_constant,
    require_number,
    require_state,
    transform,
    value_at,
)
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where


class ScheduleFreeState(NamedTuple):
    """Steps taken, the sum of all weights, b1, the fast point z, and the state of the inner optimizer."""

    step: jax.Array
    weight: jax.Array
    b1: jax.Array
    fast: Tree
    inner: Any

    def averaged(self, params: Tree) -> Tree:
        """x, from the parameters y and z."""
        b1 = self.b1

        def recover(z, y):
            return (y.astype(z.dtype) - (1 - b1).astype(z.dtype) * z) / b1.astype(z.dtype)

        return jax.tree.map(recover, self.fast, params)


@transform
def schedule_free(inner: Transform, weight: Hyper = 1.0, b1: float = 0.9) -> Transform:
    """Let the inner optimizer, one without momentum, move z, and average z into x.  https://arxiv.org/abs/2405.15682

    The z of a step counts like its weight in the average: the squared learning rate, as the paper says.
    """
    require_number("weight", weight, 0.0)
    require_constant("b1", b1, math.ulp(0.0), 1.0)

    def init(params):
        total = jnp.zeros((), float)
        return ScheduleFreeState(
            jnp.zeros((), jnp.int32), total, jnp.full((), b1, float), point(params), inner.init(params)
        )

    def update(updates, state, params=None, **extras):
        require_state(state, ScheduleFreeState)
        require_params("schedule_free", updates, params)
        moves, own = inner.update(updates, state.inner, params, **extras)
        own_weight = jnp.asarray(value_at(weight, state.step), state.weight.dtype)
        total = state.weight + own_weight
        part = own_weight / jnp.where(total == 0, 1, total)
        fast = moved(state.fast, moves)

        def between(x, z):
            x = x + part.astype(x.dtype) * (z - x)
            return (1 - b1) * z + b1 * x

        goal = jax.tree.map(between, state.averaged(params), fast)
        return way_to(goal, params, updates), ScheduleFreeState(state.step + 1, total, state.b1, fast, own)

    return Transform(init, update)


@transform
def schedule_free_sgd(
    learning_rate: Hyper = 1.0, b1: float = 0.9, *, weight_decay: Hyper = 0.0, where: Where = "**"
) -> Transform:
    """Schedule-free gradient descent; weight decay is an L2 penalty at y on the parameters meant.

    g = ∇f(y), y = (1 − b1) z + b1 x;  z ← z − learning_rate (g + weight_decay y);  x ← x + c (z − x)
    c = learning_rate² / Σ learning_rate²

    https://arxiv.org/abs/2405.15682
    """
    inner = chain(add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))
    return schedule_free(inner, _squared(learning_rate), b1)


@transform
def schedule_free_adamw(
    learning_rate: Hyper = 2.5e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    weight_decay: Hyper = 0.0,
    where: Where = "**",
    correct_rate: bool = False,
) -> Transform:
    """Schedule-free Adam with weight decay at y on the parameters meant.  https://arxiv.org/abs/2405.15682, algorithm 1

    g = ∇f(y), y = (1 − b1) z + b1 x;  v ← b2 v + (1 − b2) g²
    z ← z − learning_rate (g / (√v̂ + eps) + weight_decay y);  x ← x + c (z − x), c = learning_rate² / Σ learning_rate²

    correct_rate=True corrects the squares for their start at 0 in the learning rate, and so in the weights too, as the
    authors' reference code does.
    """
    require_number("learning_rate", learning_rate, 0.0)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def corrected(step):
        return value_at(learning_rate, step) * jnp.sqrt(filled(b2, jnp.asarray(step) + 1))

    rate = corrected if correct_rate else learning_rate
    unit = scale_by_rmsprop(b2, eps, eps_in_root=False) if correct_rate else scale_by_squares(b2, eps)
    inner = chain(unit, add_weight_decay(weight_decay, where), scale_by_learning_rate(rate))
    return schedule_free(inner, _squared(rate), b1)


def _squared(rate: Hyper) -> Hyper:
    return lambda step: jnp.square(jnp.asarray(value_at(rate, step), float))
