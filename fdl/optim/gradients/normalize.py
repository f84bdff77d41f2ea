"""Gradients brought to a standard form: mean 0, or norm 1."""

import jax.numpy as jnp

from fdl.optim.constraints.project import Axes
from fdl.optim.gradients.clip import unit_axes
from fdl.optim.leaves import scale
from fdl.optim.transform import Transform, leafwise, only, stateless, transform
from fdl.tree import Where, norm, widen


@transform
def centralize(where: Where = "**/kernel", *, axis: Axes = None) -> Transform:
    """Take from each unit its mean: all axes but the last, unless named.  Vectors pass as they are.

    Raises TreeError where a pattern matches no parameter.  https://arxiv.org/abs/2004.01461
    """

    def centred(u):
        if u.ndim < 2:
            return u
        wide = widen(u)
        return (wide - jnp.mean(wide, unit_axes(u, axis), keepdims=True)).astype(u.dtype)

    return only(leafwise(centred), where)


@transform
def normalize_by_norm() -> Transform:
    """All arrays by one factor, so that the norm of all together is 1; zeros stay zeros.

    A NaN makes NaN of everything; an infinite norm makes the finite entries 0 and the infinite ones NaN.
    """

    def update(updates, params):
        size = norm(updates)
        return scale(updates, 1 / jnp.where(size == 0, 1, size))

    return stateless(update)


@transform
def zero_non_finite() -> Transform:
    """0 in the place of every NaN and infinity.

    It hides what is wrong: `skip_non_finite` leaves out the whole step, counts, and gives up in the end.
    """
    return leafwise(lambda u: jnp.where(jnp.isfinite(u), u, 0))
