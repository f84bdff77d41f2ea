"""Conjugate gradients: for a linear system with a positive matrix known by its products, and for any loss.

The lecture names it and leaves it out; Nocedal & Wright chapter 5.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.curvature.line_search import scale_by_zoom_line_search
from fdl.optim.curvature.repeat import repeat
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, chain, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, add_scaled, norm, vdot, zeros_like

Matvec = Callable[[Tree], Tree]


class Iterate(NamedTuple):
    """Linear conjugate gradients after some steps; definite turns False where a direction has no positive curvature."""

    steps: jax.Array
    x: Tree
    residual: Tree
    direction: Tree
    square: jax.Array  # residual · preconditioned residual
    definite: jax.Array


class ConjugateGradientState(NamedTuple):
    """Updates since the last restart, the last gradient and the last direction, which points uphill."""

    step: jax.Array
    grad: Tree
    direction: Tree


def conjugate_gradient(
    matvec: Matvec,
    b: Tree,
    *,
    start: Tree | None = None,
    precondition: Matvec | None = None,
    tolerance: Any = 1e-5,
    max_steps: int | None = None,
) -> Iterate:
    """Solve A x = b for a symmetric positive A, until the residual is at most tolerance * |b|, or for max_steps.

    matvec(x) is A x and precondition(r) comes near the inverse of A times r.  Exact after as many steps as A has
    different eigenvalues.  Where a direction of curvature <= 0 is met, it stops before it, with definite=False.
    Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044
    """
    limit = tolerance * norm(b)
    most = sum(leaf.size for leaf in jax.tree.leaves(b)) if max_steps is None else max_steps
    again = lambda at: at.definite & (at.steps < most) & (norm(at.residual) > limit)
    body = lambda at: advance(matvec, at, precondition)
    return jax.lax.while_loop(again, body, begin(matvec, b, start, precondition))


def begin(matvec: Matvec, b: Tree, start: Tree | None = None, precondition: Matvec | None = None) -> Iterate:
    """Conjugate gradients before the first step."""
    residual = b if start is None else add_scaled(b, -1.0, matvec(start))
    direction = precondition(residual) if precondition else residual
    x = zeros_like(b) if start is None else start
    return Iterate(jnp.zeros((), jnp.int32), x, residual, direction, vdot(residual, direction), jnp.array(True))


def advance(matvec: Matvec, at: Iterate, precondition: Matvec | None = None) -> Iterate:
    """One step; where the direction has no positive curvature, the same point with definite=False."""
    moved = matvec(at.direction)
    curvature = vdot(at.direction, moved)
    definite = curvature > 0
    length = jnp.where(definite, at.square / jnp.where(definite, curvature, 1), 0)
    residual = add_scaled(at.residual, -length, moved)
    nearer = precondition(residual) if precondition else residual
    square = vdot(residual, nearer)
    turn = jnp.where(at.square == 0, 0, square / jnp.where(at.square == 0, 1, at.square))
    x = add_scaled(at.x, length, at.direction)
    direction = add_scaled(nearer, turn, at.direction)
    return Iterate(at.steps + definite.astype(jnp.int32), x, residual, direction, square, definite)


@transform
def scale_by_conjugate_gradient(variant: str = "pr+", *, restart: int | None = None) -> Transform:
    """Replace gradients by the sum of the gradient and beta times the direction before; a line search must follow.

    beta: "fr" (Fletcher & Reeves) |g'|²/|g|²; "pr+" (Polak & Ribière) g'·(g'-g)/|g|², at least 0; "hs" (Hestenes &
    Stiefel) g'·(g'-g)/d·(g'-g).  It starts anew every `restart` updates, and where the direction would
    not lead downhill.  Nocedal & Wright section 5.2
    """
    if variant not in ("fr", "pr+", "hs"):
        raise ValueError(f'variant must be "fr", "pr+" or "hs", got {variant!r}')
    if restart is not None:
        require_whole("restart", restart)

    def init(params):
        require_real(params)
        return ConjugateGradientState(jnp.zeros((), jnp.int32), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        new = jax.tree.map(lambda u, d: u.astype(d.dtype), updates, state.direction)
        beta = _beta(variant, new, state)
        uphill = vdot(new, new) + beta * vdot(new, state.direction) > 0
        fresh = (state.step > 0) & (state.step < (restart or 2**31 - 1))
        keep = uphill & fresh & jnp.isfinite(beta)
        beta = jnp.where(keep, beta, 0)

        def rule(u, grad, direction):
            direction = u + beta.astype(u.dtype) * direction
            return direction, u, direction

        updates, grad, direction = each_leaf(rule, updates, state.grad, state.direction)
        return updates, ConjugateGradientState(jnp.where(keep, state.step + 1, 1), grad, direction)

    return Transform(init, update)


@transform
def nonlinear_conjugate_gradient(
    variant: str = "pr+", *, restart: int | None = None, curvature: float = 0.1, line_searches: int | None = None
) -> Transform:
    """Nonlinear conjugate gradients with a strong Wolfe search: `scale_by_conjugate_gradient` and `strong_wolfe`.

    β = max(0, ⟨g, g − g'⟩ / |g'|²);  d ← −g + β d;  Δ = α d, α by the search

    Nocedal & Wright section 5.2, https://doi.org/10.1007/978-0-387-40065-5

    A smaller curvature makes searches more exact: they cost more, and on badly scaled losses there are far fewer.

    With line_searches=3 every batch gets so many, from its own gradient on: for large batches of 1,000 examples or so,
    as Hinton & Salakhutdinov 2006 trained autoencoders, https://doi.org/10.1126/science.1127647.
    """
    if line_searches is not None:
        require_whole("line_searches", line_searches)
    search = scale_by_zoom_line_search(curvature=curvature, scaled=False)
    single = chain(scale_by_conjugate_gradient(variant, restart=restart), scale_by_learning_rate(1.0), search)
    return single if line_searches is None else repeat(single, line_searches)


def _beta(variant: str, new: Tree, state: ConjugateGradientState) -> jax.Array:
    """How much of the last direction to keep."""
    ratio = lambda over, under: jnp.where(under == 0, 0, over / jnp.where(under == 0, 1, under))
    if variant == "fr":
        return ratio(vdot(new, new), vdot(state.grad, state.grad))
    change = add_scaled(new, -1.0, state.grad)
    if variant == "hs":
        # The book's d points downhill.
        return -ratio(vdot(new, change), vdot(state.direction, change))
    return jnp.maximum(ratio(vdot(new, change), vdot(state.grad, state.grad)), 0)
