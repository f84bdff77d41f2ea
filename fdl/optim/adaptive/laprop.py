"""Running means that are corrected for their start at 0, one by one, and LaProp, which takes them in the other order.

Adam averages gradients and divides by their unit; LaProp averages what is left after the division.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Hyper, Transform, chain, require_constant, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where


class RunningMeanState(NamedTuple):
    """Steps taken, and the running mean of the updates."""

    step: jax.Array
    mean: Tree


class CorrectedSquareState(NamedTuple):
    """Steps taken, and the running mean of squares."""

    step: jax.Array
    square: Tree


@transform
def running_mean(decay: float = 0.9) -> Transform:
    """Replace updates u by m / (1 - decay^t), where m = decay * m + (1 - decay) u.

    `accumulate(decay, average=True)` is the same without the correction.
    """
    require_constant("decay", decay, 0.0, BELOW_ONE)

    def init(params):
        return RunningMeanState(jnp.zeros((), jnp.int32), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        full = filled(decay, step)

        def rule(u, mean):
            mean = decay * mean + (1 - decay) * u
            return mean / full.astype(u.real.dtype), mean

        updates, mean = each_leaf(rule, updates, state.mean)
        return updates, RunningMeanState(step, mean)

    return Transform(init, update)


@transform
def scale_by_squares(b2: float = 0.999, eps: float = 1e-8) -> Transform:
    """Adam's unit without its mean: g / (sqrt(r / (1 - b2^t)) + eps), where r = b2 r + (1 - b2) g^2."""
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return CorrectedSquareState(jnp.zeros((), jnp.int32), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        square_scale = 1 / filled(b2, step)

        def rule(g, square):
            square = b2 * square + (1 - b2) * (g * g)
            return over_root(g, square * square_scale.astype(g.dtype), eps), square

        updates, square = each_leaf(rule, updates, state.square)
        return updates, CorrectedSquareState(step, square)

    return Transform(init, update)


@transform
def laprop(
    learning_rate: Hyper = 4e-4,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-15,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
) -> Transform:
    """Running means of gradients each in its own unit, where Adam takes the mean first and the unit then.

    v ← b2 v + (1 − b2) g²;  m ← b1 m + (1 − b1) g / (√v̂ + eps);  Δ = −learning_rate (m̂ + weight_decay x)

    No b1, however near 1, makes it diverge as it makes Adam.  https://arxiv.org/abs/2002.04839, algorithm 1
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    direction = chain(scale_by_squares(b2, eps), running_mean(b1))
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))
