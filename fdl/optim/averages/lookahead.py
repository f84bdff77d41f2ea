"""Lookahead: k steps forward, one step back."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.points import moved, point, require_params, way_to
from fdl.optim.transform import Transform, apply_updates, require_constant, require_state, require_whole, transform
from fdl.optim.wrappers.wrap import choose
from fdl.tree import Tree


class LookaheadState(NamedTuple):
    """Steps taken, the slow weights, and the state of the inner optimizer."""

    step: jax.Array
    slow: Tree
    inner: Any

    def averaged(self, params: Tree) -> Tree:
        """The slow weights."""
        return self.slow


@transform
def lookahead(inner: Transform, every: int = 5, alpha: float = 0.5, *, reset: bool = False) -> Transform:
    """At every `every`-th step the slow weights go alpha of the way to the fast ones, which go back to them.

    x ← x + inner(g);  every so many steps slow ← slow + alpha (x − slow);  x ← slow

    The parameters are the fast weights; `averaged(opt_state, params)` gives the slow ones.  The inner state is kept, or
    with reset=True starts anew from the slow weights.  https://arxiv.org/abs/1907.08610
    """
    require_whole("every", every)
    require_constant("alpha", alpha, 0.0, 1.0)

    def init(params):
        return LookaheadState(jnp.zeros((), jnp.int32), point(params), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, LookaheadState)
        require_params("lookahead", updates, params)
        step = state.step + 1
        due = step % every == 0
        updates, own = inner.update(updates, state.inner, params, **extras)
        fast = moved(point(params), updates)
        slow = jax.tree.map(lambda s, f: jnp.where(due, s + alpha * (f - s), s), state.slow, fast)
        updates = choose(due, way_to(slow, params, updates), updates)
        if reset:
            own = choose(due, inner.init(apply_updates(params, updates)), own)
        return updates, LookaheadState(step, slow, own)

    return Transform(init, update)
