"""Least squares: residual functions solved by Levenberg-Marquardt, for up to a few thousand parameters."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.curvature.products import raveled
from fdl.optim.transform import require_constant, require_trainable
from fdl.tree import Tree


class LeastSquares(NamedTuple):
    """The parameters, half the sum of squares there, steps tried, the damping, and whether a tolerance was met."""

    params: Tree
    cost: jax.Array
    steps: jax.Array
    damping: jax.Array
    converged: jax.Array


class _Search(NamedTuple):
    x: jax.Array
    residual: jax.Array
    jacobian: jax.Array
    scale: jax.Array
    damping: jax.Array
    growth: jax.Array
    steps: jax.Array
    converged: jax.Array


def levenberg_marquardt(
    residual: Callable[[Tree], Any],
    params: Tree,
    *,
    damping: float = 1e-3,
    scaled: bool = True,
    tolerance: float = 1e-8,
    max_steps: int = 100,
) -> LeastSquares:
    """Parameters with a small sum of squares of all numbers in residual(params), from these on.

    Each step solves (J^T J + damping D) d = -J^T r; damping shrinks after steps that gain what was promised and grows
    after those that gain nothing, which are not taken (Madsen, Nielsen & Tingleff 2004, algorithm 3.16).  scaled: D
    holds the largest squares of the columns of J so far (Moré 1978), which makes the path independent of units; else
    it is the identity (Levenberg 1944).  Stops when a step, or the cosine between r and every column of J, is at most
    the tolerance.
    """
    require_trainable(params)
    require_constant("damping", damping, 0.0)
    require_constant("tolerance", tolerance, 0.0)
    flat, unravel = raveled(params)
    typed = lambda x: jax.tree.map(lambda new, p: new.astype(p.dtype), unravel(x), params)
    of = lambda x: raveled(residual(typed(x)))[0].astype(x.dtype)
    jacobian_of = jax.jacfwd(of)

    def again(at):
        return (at.steps < max_steps) & ~at.converged

    def body(at):
        step = _damped_step(at)
        x, promised = at.x + step, _promised(at, step)
        found = of(x)
        gained = _cost(at.residual) - _cost(found)
        ratio = jnp.where(promised > 0, gained / jnp.where(promised > 0, promised, 1), -1)
        better = (gained > 0) & jnp.isfinite(gained)
        small = jnp.linalg.norm(step) <= tolerance * (tolerance + jnp.linalg.norm(at.x))
        shrunk = at.damping * jnp.maximum(1 / 3, 1 - (2 * jnp.where(better, ratio, 0) - 1) ** 3)
        x, found = jnp.where(better, x, at.x), jnp.where(better, found, at.residual)
        jacobian = jax.lax.cond(better, jacobian_of, lambda x: at.jacobian, x)
        scale = jnp.maximum(at.scale, _squares(jacobian)) if scaled else at.scale
        damping = jnp.where(better, shrunk, at.damping * at.growth)
        growth = jnp.where(better, 2, 2 * at.growth)
        converged = small | _is_flat(found, jacobian, tolerance)
        return _Search(x, found, jacobian, scale, damping, growth, at.steps + 1, converged)

    first, jacobian = of(flat), jacobian_of(flat)
    squares = _squares(jacobian)
    scale = jnp.where(squares > 0, squares, 1) if scaled else jnp.ones_like(squares)
    number = lambda value: jnp.full((), value, flat.dtype)
    # Nielsen's first damping is in units of the largest square; with D it is in units of each.
    begin = number(damping) if scaled else damping * jnp.max(squares)
    flat_already = _is_flat(first, jacobian, tolerance)
    at = _Search(flat, first, jacobian, scale, begin, number(2.0), jnp.zeros((), jnp.int32), flat_already)
    end = jax.lax.while_loop(again, body, at)
    return LeastSquares(typed(end.x), _cost(end.residual), end.steps, end.damping, end.converged)


def _damped_step(at: _Search) -> jax.Array:
    """By orthogonal factors of J over sqrt(damping D), which keeps the digits that J^T J would lose."""
    tall = jnp.concatenate([at.jacobian, jnp.diag(jnp.sqrt(at.damping * at.scale))])
    q, r = jnp.linalg.qr(tall)
    right = jnp.dot(at.residual, q[: len(at.residual)], precision="highest")
    return -jax.scipy.linalg.solve_triangular(r, right)


def _promised(at: _Search, step: jax.Array) -> jax.Array:
    """What the linear model gains: |J d|² / 2 + damping d·D d."""
    moved = jnp.dot(at.jacobian, step, precision="highest")
    return 0.5 * jnp.sum(moved * moved) + at.damping * jnp.sum(at.scale * step * step)


def _is_flat(residual: jax.Array, jacobian: jax.Array, tolerance: float) -> jax.Array:
    gradient = jnp.dot(residual, jacobian, precision="highest")
    lengths = jnp.sqrt(_squares(jacobian) * jnp.sum(residual * residual))
    return jnp.all(jnp.abs(gradient) <= tolerance * lengths)


def _squares(jacobian: jax.Array) -> jax.Array:
    return jnp.sum(jacobian * jacobian, axis=0)


def _cost(residual: jax.Array) -> jax.Array:
    return 0.5 * jnp.sum(residual * residual)
