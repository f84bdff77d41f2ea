"""Steps left out: a gradient that cannot be right moves nothing, and is counted."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.transform import Transform, require_number, require_state, require_whole, transform
from fdl.optim.wrappers.wrap import all_finite, choose
from fdl.tree import Tree, norm, zeros_like


class SkipState(NamedTuple):
    """Steps left out, in all and in a row up to now, and the state of the inner transform."""

    total: jax.Array
    in_a_row: jax.Array
    inner: Any


@transform
def skip_non_finite(inner: Transform, most: int = 10) -> Transform:
    """Where a gradient has a NaN or an infinity the parameters and the inner state stay as they are.

    After `most` such steps in a row the next one is let through, so that a run that is lost stops.
    A run stops at a loss that is not finite whether its step is left out or not.
    """
    return _skip(inner, most, all_finite)


@transform
def skip_large(inner: Transform, limit: float | jax.Array, most: int = 10) -> Transform:
    """Where the norm of all gradients exceeds the limit, or is NaN, parameters and inner state stay as they are.

    After `most` such steps in a row the next one is let through.
    """
    require_number("limit", limit, 0.0)
    if callable(limit):
        raise TypeError("limit must be a number: the steps that are left out would stop a schedule")
    return _skip(inner, most, lambda updates: norm(updates) <= limit)


def _skip(inner: Transform, most: int, good: Callable[[Tree], jax.Array]) -> Transform:
    require_whole("most", most, 0)

    def init(params):
        return SkipState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, SkipState)
        taken = good(updates) | (state.in_a_row >= most)
        moved, own = inner.update(updates, state.inner, params, **extras)
        left_out = 1 - taken.astype(jnp.int32)
        state = SkipState(state.total + left_out, (state.in_a_row + 1) * left_out, choose(taken, own, state.inner))
        return choose(taken, moved, zeros_like(moved)), state

    return Transform(init, update)
