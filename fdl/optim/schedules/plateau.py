"""The learning rate falls when the loss no longer does."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.transform import Transform, require_constant, require_state, require_whole, transform
from fdl.optim.wrappers.wrap import choose


class PlateauState(NamedTuple):
    """The factor that updates are multiplied by, and what it was judged by.

    best: the best value so far; bad: judgements since; rest: judgements that still count for nothing;
    seen, total: values since the last judgement, and their sum.
    """

    factor: jax.Array
    best: jax.Array
    bad: jax.Array
    rest: jax.Array
    seen: jax.Array
    total: jax.Array


@transform
def reduce_on_plateau(
    factor: float = 0.1,
    patience: int = 10,
    *,
    every: int = 1,
    threshold: float = 1e-4,
    relative: bool = True,
    cooldown: int = 0,
    low: float = 0.0,
    mode: str = "min",
) -> Transform:
    """Multiply updates by a number that starts at 1 and shrinks by `factor` after `patience` judgements without gain.

    Every so many steps the mean of the values is judged: better is what lies below best - threshold * |best|, or
    without relative below best - threshold (mode "max": above, with +), whatever the sign.  After a cut, `cooldown`
    judgements count for nothing.  The value is the loss that the train step passes; a NaN is never better.
    Raises TypeError without a value.
    """
    for name, number, high in (("factor", factor, 1.0), ("threshold", threshold, float("inf")), ("low", low, 1.0)):
        require_constant(name, number, 0.0, high)
    for name, number, least in (("patience", patience, 0), ("every", every, 1), ("cooldown", cooldown, 0)):
        require_whole(name, number, least)
    if mode not in ("min", "max"):
        raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")

    def init(params):
        none, zero = jnp.zeros((), jnp.int32), jnp.zeros((), float)
        return PlateauState(jnp.ones((), float), jnp.full((), jnp.inf, float), none, none + 0, none + 0, zero)

    def judge(state: PlateauState, value: Any) -> PlateauState:
        known = jnp.isfinite(state.best)
        best = jnp.where(known, state.best, 0)
        margin = threshold * jnp.abs(best) if relative else threshold
        better = jnp.where(known, value < best - margin, value < state.best)
        bad = jnp.where(better | (state.rest > 0), 0, state.bad + 1)
        cut = bad > patience
        return PlateauState(
            jnp.where(cut, jnp.maximum(state.factor * factor, low), state.factor),
            jnp.where(better, value, state.best),
            jnp.where(cut, 0, bad),
            jnp.where(cut, cooldown, jnp.maximum(state.rest - 1, 0)),
            jnp.zeros_like(state.seen),
            jnp.zeros_like(state.total),
        )

    def update(updates, state, params=None, *, value=None, **extras):
        require_state(state, PlateauState)
        if value is None:
            raise TypeError("reduce_on_plateau needs the loss: call update(updates, opt_state, params, value=loss)")
        signed = jnp.asarray(value, state.total.dtype) * (1 if mode == "min" else -1)
        state = state._replace(seen=state.seen + 1, total=state.total + signed)
        state = choose(state.seen == every, judge(state, state.total / every), state)
        return scale(updates, state.factor), state

    return Transform(init, update)
