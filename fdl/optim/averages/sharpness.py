"""Sharpness-aware minimization: the gradient is taken where the loss is worst within a small distance.

It wraps an optimizer and stands first, where updates are gradients.  Each step takes a second gradient, of the
`value_fn` that the train step passes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.optim.points import require_params
from fdl.optim.transform import Transform, apply_updates, require_constant, transform
from fdl.tree import Tree, Where, norm, select, widen


@transform
def sam(inner: Transform, rho: float = 0.05) -> Transform:
    """The inner optimizer by the gradient where the loss is worst within rho.  https://arxiv.org/abs/2010.01412

    Δ = inner(∇f(x + rho g / |g|))

    Raises TypeError if update gets no value_fn.
    """
    require_constant("rho", rho, 0.0)

    def ascent(g, params):
        return _of_length(rho, g, g)

    return _sharp("sam", inner, ascent)


@transform
def asam(inner: Transform, rho: float = 0.5, eta: float = 0.01, *, where: Where = "**") -> Transform:
    """SAM by distances relative to the parameters.

    T = |x| + eta;  Δ = inner(∇f(x + rho T² g / |T g|))

    Where `where` does not mean a parameter, T is 1: the authors' code means the kernels alone, their paper all.
    Raises TypeError if update gets no value_fn.  https://arxiv.org/abs/2102.11600
    """
    require_constant("rho", rho, 0.0)
    require_constant("eta", eta, 0.0)

    def ascent(g, params):
        size = lambda meant, p: jnp.abs(widen(p)) + eta if meant else jnp.ones_like(widen(p))
        unit = jax.tree.map(size, select(params, where), params)
        scaled = jax.tree.map(lambda t, g: t * g, unit, g)
        return _of_length(rho, jax.tree.map(lambda t, g: t * g, unit, scaled), scaled)

    return _sharp("asam", inner, ascent)


def _sharp(name: str, inner: Transform, ascent: Callable[[Tree, Tree], Tree]) -> Transform:
    """The inner optimizer by the gradient at parameters + ascent(gradient, parameters)."""

    def update(updates, state, params=None, **extras):
        if extras.get("value_fn") is None:
            raise TypeError(
                f"{name} needs the parameters and the loss as a function of them: call update(updates, opt_state, "
                "params, value_fn=function), as the step of make_train_step does"
            )
        require_params(name, updates, params)
        wide = jax.tree.map(lambda u, p: u.astype(widen(p).dtype), updates, params)
        worse = apply_updates(params, ascent(wide, params))
        grad = jax.tree.map(lambda g, u: g.astype(u.dtype), jax.grad(extras["value_fn"])(worse), updates)
        return inner.update(grad, state, params, **(extras | {"grad": grad}))

    return Transform(inner.init, update)


def _of_length(length: float, direction: Tree, measured: Tree) -> Tree:
    """The direction times length / |measured|, or 0 where that is 0."""
    size = norm(measured)
    factor = jnp.where(size == 0, 0, length / jnp.where(size == 0, 1, size))
    return jax.tree.map(lambda x: factor.astype(x.dtype) * x, direction)
