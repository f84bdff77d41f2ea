"""Step sizes from the value of the loss: Polyak's, and MoMo's, which is Polyak's for a model by running means.

A step is as long as brings the linear model of the loss down to its lower bound, and never longer than the learning
rate allows.  The loss is the `value` that the train step passes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled
from fdl.optim.leaves import moments, require_real, scale
from fdl.optim.points import decayed, require_params
from fdl.optim.transform import (
    Hyper,
    Transform,
    counting,
    require_constant,
    require_fit,
    require_number,
    transform,
    value_at,
)
from fdl.tree import Tree, Where, norm, vdot, widen


class MoMoState(NamedTuple):
    """Steps taken; running means of losses, of <gradient, parameters>, gradients, squares (or ()); the lower bound."""

    step: jax.Array
    value: jax.Array
    product: jax.Array
    bound: jax.Array
    mean: Tree
    square: Tree


@transform
def polyak_sgd(learning_rate: Hyper = 1.0, f_star: Hyper = 0.0, *, scaling: float = 1.0) -> Transform:
    """Gradient descent by steps that bring the linear model of the loss down to f_star, 0 below it.

    Δ = −min(learning_rate, (f − f_star)₊ / (scaling |g|²)) g

    f_star is the smallest loss, or a guess below it.  Raises TypeError without the value of the loss.
    https://arxiv.org/abs/2002.10542
    """
    require_number("learning_rate", learning_rate, 0.0)
    require_number("f_star", f_star)
    require_constant("scaling", scaling, 0.0)

    def update(updates, state, params=None, **extras):
        value = _loss("polyak_sgd", extras)
        require_fit(updates, params)
        size = norm(updates).astype(value.dtype)
        gap = jnp.maximum(value - jnp.asarray(value_at(f_star, state.step), value.dtype), 0)
        most = jnp.asarray(value_at(learning_rate, state.step), value.dtype)
        rate = jnp.minimum(most, gap / _positive(scaling * size * size))
        return counted.update(scale(updates, -rate), state, params)

    counted = counting(lambda updates, params, step: updates)
    return Transform(counted.init, update)


@transform
def momo(
    learning_rate: Hyper = 1.0,
    b1: float = 0.9,
    *,
    lower_bound: float = 0.0,
    estimate_bound: bool = False,
    correct_bias: bool = False,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
) -> Transform:
    """Gradient descent with momentum and MoMo's step size.  https://arxiv.org/abs/2305.07583, algorithm 1

    m, l, c ← b1 m, b1 l, b1 c + (1 − b1) (g, f, ⟨g, x⟩)
    Δ = −min(learning_rate, (l − c + ⟨m, x⟩ − lower_bound)₊ / |m|²) m

    lower_bound is below every loss; estimate_bound=True raises it as training goes.  The means start at the first
    gradient, or with correct_bias=True at 0, corrected.  Weight decay is the paper's, proximal: it divides parameters
    by 1 + learning_rate * weight_decay after the step.
    """
    return _momo("momo", learning_rate, b1, None, 0.0, lower_bound, estimate_bound, correct_bias, weight_decay, where)


@transform
def momo_adam(
    learning_rate: Hyper = 1e-2,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    lower_bound: float = 0.0,
    estimate_bound: bool = False,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
) -> Transform:
    """Adam with MoMo's step size; the arguments are those of `momo`.  https://arxiv.org/abs/2305.07583, algorithm 3

    m, v as in `adam`;  l, c as in `momo`;  u = m / (√v̂ + eps);  b = 1 − b1ᵗ
    Δ = −min(learning_rate / b, (l − c + ⟨m, x⟩ − b lower_bound)₊ / ⟨m, u⟩) u
    """
    require_constant("b2", b2, 0.0, BELOW_ONE)
    return _momo("momo_adam", learning_rate, b1, b2, eps, lower_bound, estimate_bound, True, weight_decay, where)


def _momo(name, learning_rate, b1, b2, eps, lower_bound, estimate_bound, correct, weight_decay, where) -> Transform:
    require_number("learning_rate", learning_rate, 0.0)
    require_number("weight_decay", weight_decay, 0.0)
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    require_constant("lower_bound", lower_bound)

    def init(params):
        require_real(params)
        decayed(params, weight_decay, where)
        zero, bound = jnp.zeros((2,), float), jnp.full((), lower_bound, float)
        square = () if b2 is None else moments(params)
        return MoMoState(jnp.zeros((), jnp.int32), zero[0], zero[1], bound, moments(params), square)

    def update(updates, state, params=None, **extras):
        require_params(name, updates, params)
        number = state.value.dtype
        rate = jnp.asarray(value_at(learning_rate, state.step), number)
        decay = rate * jnp.asarray(value_at(weight_decay, state.step), number)
        state = _model(state, updates, params, _loss(name, extras), b1, b2, correct)
        full = filled(b1, state.step) if correct else jnp.ones((), number)
        meant = decayed(params, weight_decay, where)
        shrunk = lambda tree: jax.tree.map(lambda m, x: x / (1 + decay.astype(x.dtype)) if m else x, meant, tree)
        direction = _in_units(state, b2, eps)
        size = vdot(state.mean, direction).astype(number)
        reach = state.value - state.product + vdot(state.mean, shrunk(params)).astype(number)
        bound = state.bound
        if estimate_bound:
            bound = jnp.where(reach < full * bound, jnp.maximum(reach / (2 * full), lower_bound), bound)
        fit = jnp.maximum(reach - full * bound, 0) / _positive(vdot(state.mean, shrunk(direction)).astype(number))
        step_size = jnp.minimum(rate / full, fit)
        if estimate_bound:
            height = state.value - state.product + vdot(state.mean, params).astype(number)
            bound = jnp.maximum((height - step_size * size / 2) / full, lower_bound)

        def move(m, d, u, p):
            d = step_size.astype(d.dtype) * d
            own = decay.astype(d.dtype)
            return (-(own * p.astype(d.dtype) + d) / (1 + own) if m else -d).astype(u.dtype)

        return jax.tree.map(move, meant, direction, updates, params), state._replace(bound=bound)

    return Transform(init, update)


def _model(state: MoMoState, updates: Tree, params: Tree, value: jax.Array, b1, b2, correct: bool) -> MoMoState:
    """The running means with this gradient and loss."""
    keep = (
        jnp.asarray(b1, state.value.dtype) if correct else jnp.where(state.step == 0, 0, b1).astype(state.value.dtype)
    )
    product = vdot(updates, params).astype(keep.dtype)

    def mix(mean, g):
        own = keep.astype(mean.dtype)
        return own * mean + (1 - own) * g.astype(mean.dtype)

    square = state.square
    if b2 is not None:
        square = jax.tree.map(lambda r, g: b2 * r + (1 - b2) * jnp.square(g.astype(r.dtype)), square, updates)
    mean = jax.tree.map(mix, state.mean, updates)
    values = mix(state.value, value), mix(state.product, product)
    return MoMoState(state.step + 1, *values, state.bound, mean, square)


def _in_units(state: MoMoState, b2: float | None, eps: float) -> Tree:
    """The mean, in Adam's units if there are any."""
    if b2 is None:
        return state.mean
    root = jnp.sqrt(filled(b2, state.step))
    unit = lambda m, r: m / _positive(eps + jnp.sqrt(r) / root.astype(r.dtype))
    return jax.tree.map(unit, state.mean, state.square)


def _loss(name: str, extras: dict) -> jax.Array:
    if extras.get("value") is None:
        raise TypeError(
            f"{name} needs the parameters and the loss: call update(updates, opt_state, params, value=loss), "
            "as the step of make_train_step does"
        )
    return widen(jnp.asarray(extras["value"]))


def _positive(x: jax.Array) -> jax.Array:
    """x, or infinity for 0: without a gradient nothing moves."""
    return jnp.where(x == 0, jnp.inf, x)
