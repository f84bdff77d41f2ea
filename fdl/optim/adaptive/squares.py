"""Adaptive directions by running squares: every parameter gets its own unit of length.

What `eps` does inside and outside the root is told in running.py.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class SquareState(NamedTuple):
    """Sum or running mean of the squared updates."""

    square: Tree


class CenteredState(NamedTuple):
    """Running means of the squared gradients and of the gradients."""

    square: Tree
    mean: Tree


class AdadeltaState(NamedTuple):
    """Running means of the squared gradients and of the squared steps."""

    square: Tree
    step_square: Tree


class AdamState(NamedTuple):
    """Steps taken, and the running means of the gradients and of their squares."""

    step: jax.Array
    mean: Tree
    square: Tree


@transform
def scale_by_adagrad(eps: float = 1e-10, *, initial: float = 0.0) -> Transform:
    """Divide by the root of the sum of all squares so far.  https://jmlr.org/papers/v12/duchi11a.html"""
    require_constant("eps", eps, 0.0)
    require_constant("initial", initial, 0.0)

    def init(params):
        require_real(params)
        return SquareState(moments(params, initial))

    def update(updates, state, params=None, **extras):
        def rule(g, square):
            square = square + g * g
            return over_root(g, square, eps, False), square

        updates, square = each_leaf(rule, updates, state.square)
        return updates, SquareState(square)

    return Transform(init, update)


@transform
def scale_by_rmsprop(
    decay: float = 0.9, eps: float = 1e-8, *, eps_in_root: bool = True, centered: bool = False
) -> Transform:
    """Divide by the root of the running mean of squares, which starts at 0 and is not corrected for it.

    Goodfellow et al. algorithm 8.5 and the lecture; eps_in_root=False is the form of torch.  centered=True divides by
    the running standard deviation instead.  https://arxiv.org/abs/1308.0850, eq. 38 to 45
    """
    require_constant("decay", decay, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return CenteredState(moments(params), moments(params)) if centered else SquareState(moments(params))

    def update(updates, state, params=None, **extras):
        def rule(g, square):
            square = decay * square + (1 - decay) * (g * g)
            return over_root(g, square, eps, eps_in_root), square

        def centered_rule(g, square, mean):
            square = decay * square + (1 - decay) * (g * g)
            mean = decay * mean + (1 - decay) * g
            variance = jnp.maximum(square - mean * mean, 0)  # rounding can leave it below 0
            return over_root(g, variance, eps, eps_in_root), square, mean

        updates, *moved = each_leaf(centered_rule if centered else rule, updates, *state)
        return updates, type(state)(*moved)

    return Transform(init, update)


@transform
def scale_by_adadelta(decay: float = 0.95, eps: float = 1e-6) -> Transform:
    """Root mean square of the last steps over that of the last gradients.  https://arxiv.org/abs/1212.5701"""
    require_constant("decay", decay, 0.0, BELOW_ONE)
    require_constant("eps", eps, math.ulp(0.0))

    def init(params):
        require_real(params)
        return AdadeltaState(moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        def rule(g, square, step_square):
            square = decay * square + (1 - decay) * (g * g)
            g = g * (jnp.sqrt(step_square + eps) / jnp.sqrt(square + eps))
            return g, square, decay * step_square + (1 - decay) * (g * g)

        updates, square, step_square = each_leaf(rule, updates, *state)
        return updates, AdadeltaState(square, step_square)

    return Transform(init, update)


@transform
def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, eps_in_root: bool = False) -> Transform:
    """Replace gradients by Adam's direction s / (sqrt(r) + eps).  https://arxiv.org/abs/1412.6980

    s and r are running means of the gradients and of their squares, corrected for their start at 0.
    eps_in_root=True is the lecture's form s / sqrt(r + eps).
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        mean_scale, square_scale = 1 / filled(b1, step), 1 / filled(b2, step)

        def rule(g, mean, square):
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * (g * g)
            s, r = mean * mean_scale.astype(g.dtype), square * square_scale.astype(g.dtype)
            return over_root(s, r, eps, eps_in_root), mean, square

        updates, mean, square = each_leaf(rule, updates, state.mean, state.square)
        return updates, AdamState(step, mean, square)

    return Transform(init, update)
