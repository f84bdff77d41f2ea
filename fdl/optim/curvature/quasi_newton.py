"""Quasi-Newton: the inverse Hessian, guessed from how gradients changed along the steps taken.

The loss must be the same function at every step: full batches, or several updates per batch by `repeat`.  A step along
which the gradient did not rise teaches nothing and is left out, so that every direction leads downhill.  Where such
steps are common, on losses that are not convex or under noise and without a Wolfe search, `damping` learns from them:
the change of the gradient y gives way to a mean of y and of what the inverse H foretold, H^-1 s, so that its product
with the step s is at least damping * s H^-1 s.  0.2 is usual.  Powell 1978; Nocedal & Wright procedure 18.2
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.curvature.line_search import scale_by_zoom_line_search
from fdl.optim.curvature.products import raveled
from fdl.optim.leaves import moments, require_real
from fdl.optim.transform import Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, add_scaled, require_like, vdot


class BFGSState(NamedTuple):
    """Steps that taught something, the last parameters and gradient, and the inverse Hessian of all as one vector."""

    step: jax.Array
    params: Tree
    grad: Tree
    inverse: jax.Array


class LBFGSState(NamedTuple):
    """Steps that taught something, the last parameters and gradient, and the last steps with their gradient changes.

    Rows fill in turn; `inverse_curvature` is 1 / (step · change), 0 where there is no step yet.
    """

    step: jax.Array
    params: Tree
    grad: Tree
    steps: Tree
    changes: Tree
    inverse_curvature: jax.Array


@transform
def bfgs(*, damping: float = 0.0) -> Transform:
    """BFGS with a strong Wolfe search.  Memory grows with the square of the number of parameters: a few thousand.

    s = x − x';  y = g − g';  ρ = 1 / ⟨s, y⟩;  B ← (I − ρ s yᵀ) B (I − ρ y sᵀ) + ρ s sᵀ;  Δ = −α B g, α by the search

    Nocedal & Wright algorithm 6.1, https://doi.org/10.1007/978-0-387-40065-5
    """
    return chain(scale_by_bfgs(damping=damping), scale_by_learning_rate(1.0), scale_by_zoom_line_search())


@transform
def lbfgs(memory: int = 10, *, damping: float = 0.0) -> Transform:
    """BFGS that remembers its last steps alone, with a strong Wolfe search.

    B as in `bfgs`, but from ⟨s, y⟩ / |y|² I by the last memory pairs s, y alone;  Δ = −α B g, α by the search
    """
    return chain(scale_by_lbfgs(memory, damping=damping), scale_by_learning_rate(1.0), scale_by_zoom_line_search())


@transform
def scale_by_bfgs(*, rescale: bool = False, eps: float = 1e-10, damping: float = 0.0) -> Transform:
    """Multiply gradients by the inverse Hessian of BFGS, which starts as the identity.  Nocedal & Wright algorithm 6.1

    rescale: the first step also tells the scale of the identity, their equation 6.20; SciPy leaves it as it is.  Steps
    with step · change <= eps * |step| |change| are left out.  damping solves a linear system in each step.
    """
    require_constant("eps", eps, 0.0)
    require_constant("damping", damping, 0.0, BELOW_ONE)

    def init(params):
        require_real(params)
        flat, _ = raveled(params)
        return BFGSState(jnp.zeros((), jnp.int32), _wide(params), moments(params), jnp.eye(flat.size, dtype=flat.dtype))

    def update(updates, state, params=None, **extras):
        params, grad, s, y = _last_step(updates, state, params)
        s, y, inverse = raveled(s)[0], raveled(y)[0], state.inverse
        if damping:
            y = _damped(s, y, jax.scipy.linalg.solve(inverse, s, assume_a="pos"), damping)
        sy, learnt = _teaches(s, y, eps)
        rho = jnp.where(learnt, 1 / jnp.where(learnt, sy, 1), 0)
        if rescale:
            first = sy / jnp.where(learnt, jnp.sum(y * y), 1)
            inverse = jnp.where(learnt & (state.step == 0), first * inverse, inverse)
        turned = jnp.dot(inverse, y, precision="highest")
        both = s[:, None] * turned[None]
        inverse = inverse - rho * (both + both.T) + rho * (1 + rho * jnp.sum(y * turned)) * (s[:, None] * s[None])
        flat, unravel = raveled(grad)
        direction = unravel(jnp.dot(inverse, flat, precision="highest"))
        return _like(direction, updates), BFGSState(state.step + learnt.astype(jnp.int32), params, grad, inverse)

    return Transform(init, update)


@transform
def scale_by_lbfgs(memory: int = 10, *, eps: float = 1e-10, damping: float = 0.0) -> Transform:
    """Multiply gradients by the inverse Hessian of the last `memory` steps.  Nocedal & Wright algorithms 7.4 and 7.5

    Steps with step · change <= eps * |step| |change| are left out.  Holds 2 * memory + 2 times the parameters.
    Liu & Nocedal 1989, https://doi.org/10.1007/BF01589116
    """
    require_whole("memory", memory)
    require_constant("eps", eps, 0.0)
    require_constant("damping", damping, 0.0, BELOW_ONE)

    def init(params):
        require_real(params)
        rows = lambda: jax.tree.map(lambda m: jnp.zeros((memory, *m.shape), m.dtype), moments(params))
        empty = jnp.zeros((memory,), vdot(params, params).dtype)
        return LBFGSState(jnp.zeros((), jnp.int32), _wide(params), moments(params), rows(), rows(), empty)

    def update(updates, state, params=None, **extras):
        params, grad, s, y = _last_step(updates, state, params)
        if damping:
            y = _damped(s, y, _hessian_product(state, memory, s), damping)
        sy, learnt = _teaches(s, y, eps)
        row = state.step % memory
        put = lambda rows, new: rows.at[row].set(jnp.where(learnt, new, rows[row]))
        steps, changes = jax.tree.map(put, state.steps, s), jax.tree.map(put, state.changes, y)
        inverse_curvature = put(state.inverse_curvature, 1 / jnp.where(learnt, sy, 1))
        step = state.step + learnt.astype(jnp.int32)
        new = LBFGSState(step, params, grad, steps, changes, inverse_curvature)
        return _like(_two_loops(new, memory), updates), new

    return Transform(init, update)


def _two_loops(state: LBFGSState, memory: int) -> Tree:
    """The inverse Hessian times the gradient, without a matrix; empty rows do nothing."""
    newest_first = (state.step - 1 - jnp.arange(memory, dtype=jnp.int32)) % memory
    row = lambda i: (jax.tree.map(lambda rows: rows[i], (state.steps, state.changes)), state.inverse_curvature[i])

    def back(q, i):
        (s, y), rho = row(i)
        alpha = rho * vdot(s, q)
        return add_scaled(q, -alpha, y), alpha

    def forth(r, at):
        i, alpha = at
        (s, y), rho = row(i)
        return add_scaled(r, alpha - rho * vdot(y, r), s), None

    q, alphas = jax.lax.scan(back, state.grad, newest_first)
    (_, y), rho = row(newest_first[0])
    scale = 1 / _first_curvature(rho, y)
    r = jax.tree.map(lambda leaf: scale.astype(leaf.dtype) * leaf, q)
    return jax.lax.scan(forth, r, (newest_first, alphas), reverse=True)[0]


def _first_curvature(inverse_curvature: jax.Array, change: Tree) -> jax.Array:
    """The multiple of the identity that L-BFGS starts from: y·y / s·y of the newest step, 1 if there is none."""
    size = inverse_curvature * vdot(change, change)
    return jnp.where(size > 0, size, 1)


def _hessian_product(state: LBFGSState, memory: int, v: Tree) -> Tree:
    """The inverse of what `_two_loops` multiplies by, times v.  Nocedal & Wright equation 7.24"""
    order = (state.step + jnp.arange(memory, dtype=jnp.int32)) % memory
    flat = jax.vmap(lambda tree: raveled(tree)[0])
    steps, changes = flat(state.steps)[order], flat(state.changes)[order]
    rho = state.inverse_curvature[order]
    curvature = _first_curvature(rho[-1], changes[-1]).astype(steps.dtype)
    empty = jnp.diag(jnp.where(rho > 0, 0, 1).astype(steps.dtype))
    products = jnp.matmul(steps, changes.T, precision="highest")
    lower, diagonal = jnp.tril(products, -1), jnp.diag(jnp.diag(products)) + empty
    squares = curvature * jnp.matmul(steps, steps.T, precision="highest") + empty
    middle = jnp.block([[squares, lower], [lower.T, -diagonal]])
    both = jnp.concatenate([curvature * steps, changes])
    flat_v, unravel = raveled(v)
    weights = jnp.linalg.solve(middle, jnp.matmul(both, flat_v, precision="highest"))
    return unravel(curvature * flat_v - jnp.matmul(weights, both, precision="highest"))


def _damped(s: Tree, y: Tree, foretold: Tree, damping: float) -> Tree:
    """Of y and the change that was foretold the mean nearest to y whose product with s is damping * s · foretold."""
    sy, most = vdot(s, y), vdot(s, foretold)
    short = sy < damping * most
    share = jnp.where(short, (1 - damping) * most / jnp.where(short, most - sy, 1), 1)
    mixed = add_scaled(jax.tree.map(lambda leaf: share.astype(leaf.dtype) * leaf, y), 1 - share, foretold)
    return jax.tree.map(lambda new, old: jnp.where(short, new, old), mixed, y)


def _teaches(s: Tree, y: Tree, eps: float) -> tuple[jax.Array, jax.Array]:
    """s · y, and whether a step s along which the gradient changed by y teaches something."""
    sy = vdot(s, y)
    # Before the first step the parameters have not moved: s is 0.
    return sy, (sy > eps * jnp.sqrt(vdot(s, s)) * jnp.sqrt(vdot(y, y))) & jnp.isfinite(sy)


def _last_step(updates: Tree, state: BFGSState | LBFGSState, params: Tree) -> tuple[Tree, Tree, Tree, Tree]:
    """Parameters and gradient now, and how both changed since last time."""
    if params is None:
        raise TypeError("quasi-Newton methods need the parameters: call update(updates, opt_state, params)")
    require_like(updates, state.grad, "updates", "optimizer state", dtypes=False)
    params, grad = _like(params, state.params), _like(updates, state.grad)
    return params, grad, add_scaled(params, -1.0, state.params), add_scaled(grad, -1.0, state.grad)


def _wide(params: Tree) -> Tree:
    """A copy of the parameters, float32 at least."""
    return jax.tree.map(lambda m, p: m + p.astype(m.dtype), moments(params), params)


def _like(tree: Tree, like: Tree) -> Tree:
    return jax.tree.map(lambda x, own: x.astype(own.dtype), tree, like)
