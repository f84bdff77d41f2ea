"""Transforms that work at some steps only, and chains whose parts have names."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.transform import Transform, chain, require_state, transform
from fdl.tree import zeros_like


class WhenState(NamedTuple):
    """Calls so far, and the state of the inner transform."""

    step: jax.Array
    inner: Any


@transform
def when(inner: Transform, condition: Callable[[jax.Array], Any], *, stop: bool = False) -> Transform:
    """The inner transform at the steps where condition(step) holds; at the others updates pass as they are.

    With stop=True they are 0 at the others.  The inner state stays as it is there; steps count from 0.  A schedule is a
    condition too: it holds where the value is not 0.
    """
    if not callable(condition):
        raise TypeError(f"condition must be a function of the step, got {condition!r}")

    def init(params):
        return WhenState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, WhenState)

        def go():
            moved, own = inner.update(updates, state.inner, params, **extras)
            return jax.tree.map(lambda m, u: m.astype(u.dtype), moved, updates), own

        holds = jnp.asarray(condition(state.step), bool)
        others = zeros_like(updates) if stop else updates
        updates, own = jax.lax.cond(holds, go, lambda: (others, state.inner))
        return updates, WhenState(state.step + 1, own)

    return Transform(init, update)


@transform
def named_chain(**transforms: Transform) -> Transform:
    """`chain` whose parts have names: the state is a dict by these names, so that paths into it can be read.

    named_chain(clip=clip_by_global_norm(1.0), adam=scale_by_adam(), rate=scale_by_learning_rate(1e-3)).
    """
    parts = chain(*transforms.values())

    def init(params):
        return dict(zip(transforms, parts.init(params)))

    def update(updates, state, params=None, **extras):
        if not isinstance(state, dict) or state.keys() != transforms.keys():
            had = ", ".join(state) if isinstance(state, dict) else type(state).__name__
            raise TreeError(f"opt_state must be a dict of the parts {', '.join(transforms)}, got {had}")
        updates, own = parts.update(updates, tuple(state[name] for name in transforms), params, **extras)
        return updates, dict(zip(transforms, own))

    return Transform(init, update)
