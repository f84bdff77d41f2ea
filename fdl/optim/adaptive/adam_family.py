"""Directions that differ from Adam's in one thing: all keep running means of the gradients and of a square.

In the comments s and r are these means corrected for their start at 0, as in `scale_by_adam`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over, over_root
from fdl.optim.adaptive.squares import AdamState
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class AdamaxState(NamedTuple):
    """Steps taken, the running mean of the gradients, and their largest magnitude, which fades."""

    step: jax.Array
    mean: Tree
    largest: Tree


class AMSGradState(NamedTuple):
    """Adam's state, and the largest running mean of squares so far."""

    step: jax.Array
    mean: Tree
    square: Tree
    largest: Tree


@transform
def scale_by_adamax(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Transform:
    """Adam in the maximum norm, s / max(b2 u, |g| + eps).  https://arxiv.org/abs/1412.6980, algorithm 2

    The paper has eps = 0, where a parameter that has never had a gradient does not move; torch has 1e-8.
    """
    _require_decays(b1, b2, eps)

    def init(params):
        require_real(params)
        return AdamaxState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        mean_scale = 1 / filled(b1, step)

        def rule(g, mean, largest):
            mean = b1 * mean + (1 - b1) * g
            largest = jnp.maximum(b2 * largest, jnp.abs(g) + eps)
            return over(mean * mean_scale.astype(g.dtype), largest, 0.0), mean, largest

        updates, mean, largest = each_leaf(rule, updates, state.mean, state.largest)
        return updates, AdamaxState(step, mean, largest)

    return Transform(init, update)


@transform
def scale_by_amsgrad(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, correct_bias: bool = True) -> Transform:
    """Adam with the largest square so far, so that units never shrink.  https://arxiv.org/abs/1904.09237

    correct_bias=False is the paper's algorithm 2, which does not correct the means for their start at 0; torch does.
    """
    _require_decays(b1, b2, eps)

    def init(params):
        require_real(params)
        return AMSGradState(jnp.zeros((), jnp.int32), *(moments(params) for _ in range(3)))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        mean_scale, square_scale = _corrections(b1, b2, step, correct_bias)

        def rule(g, mean, square, largest):
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * (g * g)
            largest = jnp.maximum(largest, square)
            s, r = mean * mean_scale.astype(g.dtype), largest * square_scale.astype(g.dtype)
            return over_root(s, r, eps), mean, square, largest

        updates, *moved = each_leaf(rule, updates, *state[1:])
        return updates, AMSGradState(step, *moved)

    return Transform(init, update)


@transform
def scale_by_radam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, threshold: float = 5.0) -> Transform:
    """Adam whose unit is used once its variance is known, and rectified for it.  https://arxiv.org/abs/1908.03265

    Until more than `threshold` squares count the direction is the mean s alone.  5 is torch's, the paper has 4.  As in
    torch eps is added before the square is corrected; the paper has none.
    """
    _require_decays(b1, b2, eps)
    require_constant("b2", b2, math.nextafter(0.6, 1.0), BELOW_ONE)  # below, the longest average counts 4 squares
    require_constant("threshold", threshold, 4.0)
    longest = (1 + b2) / (1 - b2)

    def rule_at(step):
        mean_scale, root = 1 / filled(b1, step), jnp.sqrt(filled(b2, step))
        length = _squares_that_count(b2, step)
        known = length > threshold
        safe = jnp.where(known, length, threshold + 1)
        rectify = root * jnp.sqrt((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe))

        def rule(g, mean, square):
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * (g * g)
            s = mean * mean_scale.astype(g.dtype)
            return jnp.where(known, over_root(s * rectify.astype(g.dtype), square, eps), s), mean, square

        return rule

    return _adam_like(rule_at)


@transform
def scale_by_adabelief(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16) -> Transform:
    """Adam by the squared distance of a gradient from its running mean.  https://arxiv.org/abs/2010.07468

    As in the paper eps enters twice: every step adds it to the square, and it stands beside the root.
    """
    _require_decays(b1, b2, eps)

    def rule_at(step):
        mean_scale, square_scale = _corrections(b1, b2, step)

        def rule(g, mean, square):
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * jnp.square(g - mean) + eps
            s, r = mean * mean_scale.astype(g.dtype), square * square_scale.astype(g.dtype)
            return over_root(s, r, eps), mean, square

        return rule

    return _adam_like(rule_at)


@transform
def scale_by_yogi(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-3, *, initial: float = 1e-6, correct_bias: bool = False
) -> Transform:
    """Adam whose square moves by (1 - b2) g^2 at most, up or down.  https://doi.org/10.5555/3327546.3327647

    As in the paper the means are not corrected for their start; correct_bias=True does so, as other libraries do.
    """
    _require_decays(b1, b2, eps)
    require_constant("initial", initial, 0.0)

    def rule_at(step):
        mean_scale, square_scale = _corrections(b1, b2, step, correct_bias)

        def rule(g, mean, square):
            mean = b1 * mean + (1 - b1) * g
            square = square - (1 - b2) * jnp.sign(square - g * g) * (g * g)
            s, r = mean * mean_scale.astype(g.dtype), square * square_scale.astype(g.dtype)
            return over_root(s, r, eps), mean, square

        return rule

    return _adam_like(rule_at, initial)


def _adam_like(rule_at: Callable[[jax.Array], Callable], initial: float = 0.0) -> Transform:
    """The transform of rule_at(step)(g, mean, square) -> (direction, mean, square), where the first step is 1."""

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), moments(params, initial))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        updates, mean, square = each_leaf(rule_at(step), updates, state.mean, state.square)
        return updates, AdamState(step, mean, square)

    return Transform(init, update)


def _corrections(b1: float, b2: float, step: jax.Array, correct: bool = True) -> tuple[jax.Array, jax.Array]:
    """What the means must be multiplied by, for their start at 0."""
    return (1 / filled(b1, step), 1 / filled(b2, step)) if correct else (jnp.ones(()), jnp.ones(()))


def _squares_that_count(b2: float, step: jax.Array) -> jax.Array:
    """RAdam's (1 + b2) / (1 - b2) - 2 t b2^t / (1 - b2^t), in a form without its cancellation."""
    x, t = -math.log(b2), jnp.asarray(step, float)
    return t - t * _langevin(t * x / 2) + _langevin(jnp.asarray(x / 2, float))


def _langevin(x: jax.Array) -> jax.Array:
    """coth(x) - 1 / x."""
    small = x < 0.1
    safe = jnp.where(small, 1, x)
    series = x / 3 - x**3 / 45 + 2 * x**5 / 945 - x**7 / 4725 + 2 * x**9 / 93555
    return jnp.where(small, series, 1 / jnp.tanh(safe) - 1 / safe)


def _require_decays(b1: float, b2: float, eps: float) -> None:
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
