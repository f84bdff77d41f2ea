"""Newton's method without a matrix: conjugate gradients on products with the Hessian or Gauss-Newton matrix."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.curvature.conjugate_gradient import Iterate, advance, begin, conjugate_gradient
from fdl.optim.curvature.line_search import backtracking, require_loss, scale_by_backtracking_line_search
from fdl.optim.curvature.products import empirical_fisher_diagonal, gauss_newton_vector_product, hessian_vector_product
from fdl.optim.leaves import moments, require_real
from fdl.optim.transform import (
    Transform,
    apply_updates,
    chain,
    require_constant,
    require_fit,
    require_state,
    require_whole,
    transform,
)
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, add_scaled, norm, vdot, widen

GROWTH = 1.3  # of the number of steps between the iterates that Hessian-free keeps


class HessianFreeState(NamedTuple):
    """The damping, the last direction, conjugate-gradient steps taken in all, the last ratio that told something."""

    damping: jax.Array
    direction: Tree
    products: jax.Array
    ratio: jax.Array


@transform
def newton_cg(max_steps: int = 100) -> Transform:
    """Truncated Newton: `scale_by_newton_cg`, then backtracking from the full step.

    H d = −g, by conjugate gradients until |H d + g| ≤ min(1/2, √|g|) |g|;  Δ = α d, α by the search

    Nocedal & Wright algorithm 7.1, https://doi.org/10.1007/978-0-387-40065-5
    """
    search = scale_by_backtracking_line_search(grow=math.inf)
    return chain(scale_by_newton_cg(max_steps), scale_by_learning_rate(1.0), search)


@transform
def scale_by_newton_cg(max_steps: int = 100) -> Transform:
    """Multiply gradients by the inverse Hessian, as far as conjugate gradients come in max_steps.

    They stop at a residual of min(1/2, sqrt|g|) |g|, which makes the end faster than linear, and before the first
    direction of negative curvature; if that is the gradient itself, the gradient is the direction.
    """
    require_whole("max_steps", max_steps)

    def update(updates, state, params=None, **extras):
        _, _, f = require_loss("scale_by_newton_cg", params, extras)
        grad = _wide(updates)
        product = lambda v: _wide(hessian_vector_product(f, params, v))
        tolerance = jnp.minimum(0.5, jnp.sqrt(norm(grad)))
        end = conjugate_gradient(product, grad, tolerance=tolerance, max_steps=max_steps)
        stuck = ~end.definite & (end.steps == 0)
        return jax.tree.map(lambda x, g, u: jnp.where(stuck, g, x).astype(u.dtype), end.x, grad, updates), state

    def init(params):
        require_real(params)
        return ()

    return Transform(init, update)


@transform
def hessian_free(
    damping: float = 1.0,
    *,
    max_steps: int = 100,
    progress: float = 5e-4,
    warm: float = 0.95,
    adapt: bool = True,
    precondition: float = 0.0,
    samples: int = 4,
    seed: int = 0,
) -> Transform:
    """Hessian-free optimization, Martens 2010: https://icml.cc/Conferences/2010/papers/458.pdf

    (B + damping I) d = −g, by conjugate gradients until they idle;  Δ = α d, α by the search

    Conjugate gradients on (B + damping) d = -g, begun at `warm` times the last direction, stop when the last tenth of
    the steps (ten at least) gained less than `progress` per step; among iterates kept along the way the lowest loss
    is found by going back, and then backtracked.  adapt: damping * 3/2 where the loss fell by less than 1/4 of what
    the damped quadratic promised or a direction of negative curvature was met, * 2/3 where by more than 3/4.

    B is the Gauss-Newton matrix if the loss comes in two halves (`train.TwoPartLoss`), else the Hessian.  With two
    halves precondition=0.75 is the paper's preconditioner, (D + damping)^0.75: D are the mean squared gradients of
    single examples, of which `empirical_fisher_diagonal` takes so many samples, drawn from the seed.
    """
    for name, value in {"damping": damping, "progress": progress, "warm": warm}.items():
        require_constant(name, value, 0.0)
    require_constant("precondition", precondition, 0.0, 1.0)
    require_whole("samples", samples)
    require_whole("seed", seed, 0)
    require_whole("max_steps", max_steps)

    def init(params):
        require_real(params)
        number = lambda value: jnp.full((), value, float)
        return HessianFreeState(number(damping), moments(params), jnp.zeros((), jnp.int32), number(1.0))

    def update(updates, state, params=None, **extras):
        value, _, f = require_loss("hessian_free", params, extras)
        require_state(state, HessianFreeState)
        require_fit(updates, params)
        value, down = widen(value), jax.tree.map(lambda g: -g, _wide(updates))
        curved = _products(f, params, extras)
        damped = lambda v: add_scaled(curved(v), state.damping, v)
        nearer = None
        if precondition:
            key = jax.random.fold_in(jax.random.key(seed), state.products)
            nearer = _preconditioner(params, extras, state.damping, precondition, key, samples)
        start = jax.tree.map(lambda d: jnp.asarray(warm, d.dtype) * d, state.direction)
        end, kept, last = _until_idle(damped, down, start, max_steps, progress, nearer)
        direction = _lowest(f, params, kept, last)
        promised = 0.5 * vdot(direction, damped(direction)) - vdot(down, direction)
        gained = widen(f(apply_updates(params, direction))) - value
        ratio = jnp.where(promised < 0, gained / jnp.where(promised < 0, promised, 1), 0)
        ratio = jnp.where(jnp.isfinite(ratio), ratio, -1).astype(state.ratio.dtype)
        # Promises below the rounding of the loss say nothing; a matrix that is not positive wants more damping.
        told = -promised > 10 * jnp.finfo(value.dtype).eps * jnp.abs(value)
        factor = jnp.where(told, jnp.where(ratio < 0.25, 1.5, jnp.where(ratio > 0.75, 2 / 3, 1.0)), 1.0)
        factor = jnp.where(end.definite, factor, 1.5) if adapt else 1.0
        ratio = jnp.where(told, ratio, state.ratio)
        found = backtracking(f, params, direction, value, -vdot(down, direction), decrease=1e-2)
        move = jax.tree.map(lambda d, u: (found.step_size.astype(d.dtype) * d).astype(u.dtype), direction, updates)
        return move, HessianFreeState(state.damping * factor, end.x, state.products + end.steps, ratio)

    return Transform(init, update)


def _products(f: Any, params: Tree, extras: dict) -> Any:
    """Products with the Gauss-Newton matrix if the loss comes in halves, else with the Hessian."""
    if "predict_fn" in extras and "output_loss_fn" in extras:
        predict, loss = extras["predict_fn"], extras["output_loss_fn"]
        return lambda v: _wide(gauss_newton_vector_product(predict, loss, params, v))
    return lambda v: _wide(hessian_vector_product(f, params, v))


def _preconditioner(params: Tree, extras: dict, damping: jax.Array, power: float, key: jax.Array, samples: int) -> Any:
    """A vector over (D + damping)^power."""
    if not {"predict_fn", "output_loss_fn"} <= extras.keys():
        raise TypeError("hessian_free needs the loss in two halves for its preconditioner: see train.TwoPartLoss")
    halves = extras["predict_fn"], extras["output_loss_fn"]
    squares = empirical_fisher_diagonal(*halves, params, key, samples=samples)
    scale = jax.tree.map(lambda d: (d + damping.astype(d.dtype)) ** power, squares)
    return lambda r: jax.tree.map(lambda r, m: r / jnp.where(m == 0, 1, m), r, scale)


def _until_idle(
    matvec: Any, b: Tree, start: Tree, max_steps: int, progress: float, precondition: Any
) -> tuple[Iterate, Tree, Any]:
    """Conjugate gradients until they idle, the iterates at steps that grow by GROWTH, and the row of the last."""
    marks = jnp.asarray(_marks(max_steps), jnp.int32)
    first = begin(matvec, b, start, precondition)
    # The quadratic x·Ax / 2 - b·x, which the residual r = b - Ax gives for nothing.
    quadratic = lambda at: -0.5 * (vdot(at.x, at.residual) + vdot(at.x, b))
    history = jnp.zeros((max_steps + 1,), first.square.dtype).at[0].set(quadratic(first))
    kept = jax.tree.map(lambda x: jnp.zeros((len(marks), *x.shape), x.dtype).at[:].set(x[None]), start)

    def again(carried):
        at, history, _ = carried
        back = jnp.maximum(10, at.steps // 10)
        now, before = history[at.steps], history[jnp.maximum(at.steps - back, 0)]
        idle = (at.steps > back) & (now < 0) & (before - now < back.astype(now.dtype) * progress * -now)
        return at.definite & (at.steps < max_steps) & (at.square > 0) & ~idle

    def body(carried):
        at, history, kept = carried
        at = advance(matvec, at, precondition)
        # All rows from here on: those that are not reached again keep the iterate of their mark.
        rows = marks >= at.steps
        keep = lambda all_, x: jnp.where(rows.reshape(-1, *[1] * x.ndim), x[None], all_)
        return at, history.at[at.steps].set(quadratic(at)), jax.tree.map(keep, kept, at.x)

    end, _, kept = jax.lax.while_loop(again, body, (first, history, kept))
    return end, kept, jnp.searchsorted(marks, end.steps).astype(jnp.int32)


def _lowest(f: Any, params: Tree, kept: Tree, last: jax.Array) -> Tree:
    """The kept iterate from which going further back no longer lowers the loss."""
    row = lambda i: jax.tree.map(lambda rows: rows[i], kept)
    loss = lambda i: jnp.nan_to_num(widen(f(apply_updates(params, row(i)))), nan=jnp.inf)

    def body(carried):
        i, lowest, _ = carried
        before = loss(i - 1)
        lower = (before < lowest) & (i > 0)
        return jnp.where(lower, i - 1, i), jnp.where(lower, before, lowest), lower

    return row(jax.lax.while_loop(lambda carried: carried[2], body, (last, loss(last), jnp.array(True)))[0])


def _marks(max_steps: int) -> list[int]:
    """1, 2, 3, 4, 6, 7, 10 ... up to max_steps, growing by GROWTH."""
    marks = [1]
    while marks[-1] < max_steps:
        marks.append(min(max(marks[-1] + 1, math.ceil(marks[-1] * GROWTH)), max_steps))
    return marks


def _wide(tree: Tree) -> Tree:
    return jax.tree.map(widen, tree)
