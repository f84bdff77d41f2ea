"""Adam that estimates its learning rate: D-Adaptation and Prodigy bound the distance to the solution from below.

The estimate `opt_state.distance` only grows.  The learning rate, 1 unless tuned, multiplies it; give it a schedule as
usual.  Both hold the step themselves: nothing but averages may follow in a chain.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.points import decayed, point, require_params
from fdl.optim.transform import Hyper, Transform, require_constant, require_number, transform, value_at
from fdl.tree import Tree, Where, vdot


class DAdaptState(NamedTuple):
    """Steps taken, the estimate, its numerator; means of scaled gradients and squares, and their weighted sum."""

    step: jax.Array
    distance: jax.Array
    numerator: jax.Array
    mean: Tree
    square: Tree
    total: Tree


class ProdigyState(NamedTuple):
    """As `DAdaptState`, and the first parameters."""

    step: jax.Array
    distance: jax.Array
    numerator: jax.Array
    mean: Tree
    square: Tree
    total: Tree
    start: Tree


@transform
def dadapt_adamw(
    learning_rate: Hyper = 1.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    initial: float = 1e-6,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
    correct_bias: bool = False,
    last_unit: bool = False,
) -> Transform:
    """Adam with D-Adaptation and decoupled weight decay.  https://arxiv.org/abs/2301.07733, algorithm 5

    λ = d learning_rate;  m ← b1 m + (1 − b1) λ g;  v ← b2 v + (1 − b2) g²;  c = √b2
    n ← c n + (1 − c) λ ⟨g, s / (√v + eps)⟩;  s ← c s + (1 − c) λ g;  d ← max(d, n / ((1 − c) |s|₁))
    Δ = −m / (√v + eps) − λ weight_decay x

    As in the paper the means are not corrected for their start; correct_bias=True does so.  last_unit=True measures a
    gradient in the unit of the step before, as the authors' code came to do, and not in the one that contains it.
    """
    _require_settings(learning_rate, b1, b2, eps, initial, weight_decay)
    keep = math.sqrt(b2)

    def init(params):
        require_real(params)
        decayed(params, weight_decay, where)
        return DAdaptState(*_counters(initial), moments(params), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        require_params("dadapt_adamw", updates, params)
        step, rate = _rate(state, learning_rate, b1, b2, correct_bias)

        def rule(g, mean, square, total, _):
            own = rate.astype(g.dtype)
            mean = b1 * mean + (1 - b1) * (own * g)
            new = b2 * square + (1 - b2) * (g * g)
            along = over_root(total, square if last_unit else new, eps)
            return over_root(mean, new, eps), mean, new, keep * total + (1 - keep) * (own * g), along

        direction, mean, square, total, along = each_leaf(rule, updates, *state[3:], state.total)
        gained = vdot(updates, along).astype(rate.dtype)
        numerator = keep * state.numerator + (1 - keep) * (rate * gained)
        distance = _larger(state.distance, numerator, (1 - keep) * _magnitudes(total))
        step_of = _stepped(direction, params, rate * value_at(weight_decay, state.step), weight_decay, where)
        return step_of, DAdaptState(step, distance, numerator, mean, square, total)

    return Transform(init, update)


@transform
def prodigy(
    learning_rate: Hyper = 1.0,
    *,
    b1: float = 0.9,
    b2: float = 0.999,
    b3: float | None = None,
    eps: float = 1e-8,
    initial: float = 1e-6,
    coefficient: float = 1.0,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
    correct_bias: bool = False,
    safeguard_warmup: bool = False,
) -> Transform:
    """Adam with Prodigy's estimate, which grows faster than D-Adaptation's.  https://arxiv.org/abs/2306.06101

    λ = d learning_rate;  m ← b1 m + (1 − b1) d g;  v ← b2 v + (1 − b2) d² g²
    Δ = −λ (m / (√v + d eps) + weight_decay x)
    n ← b3 n + (1 − b3) d λ ⟨g, x₀ − x⟩;  s ← b3 s + (1 − b3) d λ g;  d ← max(d, coefficient n / |s|₁)

    Algorithm 4, with decoupled weight decay.  b3 is the decay of the estimate's sums, sqrt(b2) if not given.  As in the
    paper the means are not corrected for their start; correct_bias=True does so.  safeguard_warmup=True leaves the
    learning rate out of the estimate, so that a warm-up from 0 cannot make it too large.
    """
    _require_settings(learning_rate, b1, b2, eps, initial, weight_decay)
    require_constant("coefficient", coefficient, 0.0)
    keep = math.sqrt(b2) if b3 is None else b3
    require_constant("b3", keep, 0.0, BELOW_ONE)

    def init(params):
        require_real(params)
        decayed(params, weight_decay, where)
        return ProdigyState(*_counters(initial), moments(params), moments(params), moments(params), point(params))

    def update(updates, state, params=None, **extras):
        require_params("prodigy", updates, params)
        step, rate = _rate(state, learning_rate, b1, b2, correct_bias)
        weight = state.distance * (state.distance if safeguard_warmup else rate)

        def rule(g, mean, square, total, back, p):
            d = state.distance.astype(g.dtype)  # of the paper; the authors' code measures eps by the next estimate
            mean = b1 * mean + (1 - b1) * (d * g)
            square = b2 * square + (1 - b2) * jnp.square(d * g)
            direction = rate.astype(g.dtype) * (mean / _positive(jnp.sqrt(square) + d * eps))
            return direction, mean, square, keep * total + (1 - keep) * (weight.astype(g.dtype) * g), back - p, p

        direction, mean, square, total, back, _ = each_leaf(
            rule, updates, *state[3:], jax.tree.map(lambda p, start: p.astype(start.dtype), params, state.start)
        )
        gained = vdot(updates, back).astype(rate.dtype)
        numerator = keep * state.numerator + (1 - keep) * state.distance * rate * gained
        distance = _larger(state.distance, coefficient * numerator, _magnitudes(total))
        step_of = _stepped(direction, params, rate * value_at(weight_decay, state.step), weight_decay, where)
        return step_of, ProdigyState(step, distance, numerator, mean, square, total, state.start)

    return Transform(init, update)


def _require_settings(learning_rate, b1, b2, eps, initial, weight_decay) -> None:
    require_number("learning_rate", learning_rate, 0.0)
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    require_constant("initial", initial, math.ulp(0.0))
    require_number("weight_decay", weight_decay, 0.0)


def _counters(initial: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    return jnp.zeros((), jnp.int32), jnp.full((), initial, float), jnp.zeros((), float)


def _rate(state: DAdaptState | ProdigyState, learning_rate: Hyper, b1: float, b2: float, correct: bool):
    """The number of this step, and the estimate times the learning rate."""
    step = state.step + 1
    rate = state.distance * jnp.asarray(value_at(learning_rate, state.step), state.distance.dtype)
    return step, rate * (jnp.sqrt(filled(b2, step)) / filled(b1, step)).astype(rate.dtype) if correct else rate


def _larger(distance: jax.Array, numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """The estimate, if the new one is larger."""
    return jnp.maximum(distance, numerator / _positive(denominator.astype(distance.dtype)))


def _magnitudes(tree: Tree) -> jax.Array:
    """The sum of all magnitudes."""
    return vdot(tree, jax.tree.map(jnp.sign, tree))


def _stepped(direction: Tree, params: Tree, amount: jax.Array, weight_decay: Hyper, where: Where) -> Tree:
    """Minus the direction, and minus the amount times the parameters that weight decay means."""

    def add(meant, u, p):
        return -u - (amount.astype(u.dtype) * p.astype(u.dtype) if meant else 0)

    return jax.tree.map(add, decayed(params, weight_decay, where), direction, params)


def _positive(x: jax.Array) -> jax.Array:
    """x, or infinity for 0: what never had a gradient does not move."""
    return jnp.where(x == 0, jnp.inf, x)
