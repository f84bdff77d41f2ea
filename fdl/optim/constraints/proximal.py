"""Proximal gradients: a smooth loss by its gradient, and a penalty with corners by its proximal operator.

A proximal operator maps (x, step size) to the y that minimises penalty(y) + |y - x|² / (2 step size).  That of a set is
its projection, for which `project` stands.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import moments, require_real
from fdl.optim.points import beside_params
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_number, transform, value_at
from fdl.optim.velocity import scale_by_learning_rate
from fdl.recipe import Function, recipe
from fdl.tree import Tree, Where, require_like

Proximal = Callable[[jax.Array, jax.Array], jax.Array]

proximal = recipe(Function)
"""Decorate a constructor of proximal operators: what it makes remembers the constructor and its arguments."""


class ExtrapolateState(NamedTuple):
    """The weight t of the sequence, and the point that was extrapolated: the result."""

    weight: jax.Array
    point: Tree


@transform
def proximal_gradient(
    learning_rate: Hyper, penalty: Proximal, *, where: Where = "**/kernel", accelerate: bool = False
) -> Transform:
    """Gradient descent on the loss plus a penalty on the parameters meant: ISTA, or with accelerate FISTA.

    x ← argmin over y of learning_rate penalty(y) + |y − (x − learning_rate g)|² / 2
    with accelerate:  g and x at x + (t − 1) / t' (x − x'), where t' = (1 + √(1 + 4 t²)) / 2

    Beck & Teboulle 2009, https://doi.org/10.1137/080716542.  FISTA holds the parameters at the extrapolated point; the
    result is `opt_state[-1].point`, which has the exact zeros and which the parameters approach.
    """
    parts = scale_by_learning_rate(learning_rate), proximal_step(penalty, learning_rate, where)
    return chain(*parts, extrapolate()) if accelerate else chain(*parts)


@transform
def proximal_step(penalty: Proximal, step_size: Hyper, where: Where = "**/kernel") -> Transform:
    """Change updates so that parameter + update is its proximal point; behind the learning rate, which is step_size."""
    require_number("step_size", step_size, 0.0)

    def move(u, p, step):
        return penalty(p + u, jnp.asarray(value_at(step_size, step), u.dtype)) - p

    return beside_params("proximal_step", move, where, step_size)


@transform
def extrapolate() -> Transform:
    """Hold the parameters beyond the point they reach, by more at every step, as FISTA does; last in a chain.

    x = parameters + updates; the parameters become x + (t - 1) / t' (x - last x) with t' = (1 + sqrt(1 + 4 t²)) / 2.
    """

    def init(params):
        require_real(params)
        point = jax.tree.map(lambda m, p: m + p.astype(m.dtype), moments(params), params)
        return ExtrapolateState(jnp.ones((), float), point)

    def update(updates, state, params=None, **extras):
        if params is None:
            raise TypeError("extrapolate needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        after = (1 + jnp.sqrt(1 + 4 * state.weight**2)) / 2
        beyond = (state.weight - 1) / after
        reached = jax.tree.map(lambda p, u, x: p.astype(x.dtype) + u.astype(x.dtype), params, updates, state.point)
        go = lambda u, p, new, old: (new + beyond.astype(new.dtype) * (new - old) - p.astype(new.dtype)).astype(u.dtype)
        return jax.tree.map(go, updates, params, reached, state.point), ExtrapolateState(after, reached)

    return Transform(init, update)


@proximal
def soft_threshold(strength: float, *, ridge: float = 0.0) -> Proximal:
    """Of strength * |x|_1 + ridge / 2 * |x|²: towards 0 by step size * strength, not past it (lasso, elastic net)."""
    require_constant("strength", strength, 0.0)
    require_constant("ridge", ridge, 0.0)

    def shrink(x, step_size):
        return jnp.sign(x) * jnp.maximum(jnp.abs(x) - step_size * strength, 0) / (1 + step_size * ridge)

    return shrink


@proximal
def group_soft_threshold(strength: float, axis: int | Sequence[int] = -1) -> Proximal:
    """Of strength times the sum of the Euclidean norms over axis: whole groups go to 0 (group lasso)."""
    require_constant("strength", strength, 0.0)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)

    def shrink(x, step_size):
        norm = jnp.sqrt(jnp.sum(jnp.square(x), axes, keepdims=True))
        stays = norm > step_size * strength
        return x * jnp.where(stays, 1 - step_size * strength / jnp.where(stays, norm, 1), 0)

    return shrink
