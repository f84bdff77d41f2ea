"""Decoding step by step: a model that keeps the keys and values of what it has seen in its state."""

from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_shape
from fdl.nn.apart import apart
from fdl.nn.layer import Layer, State, layer
from fdl.nn.rewire import rewire
from fdl.recipe import Function
from fdl.tree import map_where

Room: TypeAlias = tuple[int, int]
"""(batch, length) of a cache."""


@layer
def cached(model: Layer, batch: int, length: int) -> Layer:
    """The model with the same params that goes on where its last call ended, up to `length` positions in all.

    Any number of tokens a call: a prompt first, then one at a time.  init gives the empty cache as state, and
    `tree.cast(state, "bfloat16")` halves it; for prompts of unequal length see `rewind`.  Every part whose constructor
    has an argument `cache` takes part: causal attention, positions, `unroll`.  Cross-attention computes the keys and
    values of its memory at each call.  Further masks cover all `length` keys.  In a loop over tokens, blocks that
    `repeat` has stacked are several times as slow as those that `unstack` has written out before.

    Raises TreeError where no part does, ValueError for attention that is not causal, ShapeError for a call that does
    not fit; what does not fit by a count known only at run time gives NaN, as a token outside the vocabulary does.
    """
    if batch < 1 or length < 1:
        raise ValueError(f"a cache has at least one row and one position, got {batch} and {length}")

    def change(part):
        return part.replace(cache=(batch, length))

    return change(model) if _has_cache("", model) else rewire(model, _has_cache, change)


def rewind(state: State, count: ArrayLike) -> State:
    """The state of a cached model as if it had seen `count` positions, no more than it has: an int, or int (batch,).

    Prompts of unequal length are padded at the end with any token, run at once, and rewound to their lengths: what
    comes next takes the place of the padding.  The last logits of prompt i are then those at lengths[i] - 1.
    """

    def back(index):
        # A copy for each part, so that the state can be donated.
        return jnp.array(jnp.broadcast_to(count, index.shape), index.dtype)

    return map_where(back, state, "**/index")


@layer
def key_value_cache(
    kv_heads: int,
    head_dim: int,
    *,
    rotate: Function | None = None,
    causal: bool = True,
    cache: Room | None = None,
) -> Layer:
    """Queries, keys and values in their places: (query, key, value) -> (query, all keys, all values, first position).

    Without a cache the keys are those given.  With one they are kept as products read them, so that no token turns
    them: keys (batch, kv_heads, head_dim, length), values (batch, kv_heads, length, head_dim).
    Rows of the query beyond the cache are NaN, their keys are dropped.
    """
    if cache and not causal:
        raise ValueError("attention that is not causal sees the future, which a cache does not hold; cache the decoder")

    def init(key):
        if cache is None:
            return {}, {}
        batch, length = cache
        keys, values = (batch, kv_heads, head_dim, length), (batch, kv_heads, length, head_dim)
        return {}, beginning(cache) | {"key": jnp.zeros(keys), "value": jnp.zeros(values)}

    def apply(params, state, query, fresh, value, *, key=None, train=False):
        positions, after = advance(state, cache, query)
        if rotate:
            query, fresh = rotate(query, positions), rotate(fresh, positions)
        if cache is None:
            return (query, fresh, value, 0), state
        keys, values = _put(state["key"], fresh, positions, 3), _put(state["value"], value, positions, 2)
        query = jnp.where((positions < cache[1])[..., None, None], query, jnp.nan)
        seen = jnp.moveaxis(keys, 3, 1).astype(query.dtype), values.swapaxes(1, 2).astype(query.dtype)
        return (query, *seen, state["index"]), after | {"key": keys, "value": values}

    return Layer(init, apply, is_pure=cache is None)


def beginning(cache: Room | None) -> State:
    """The state of a part that has seen nothing: the position of what comes next, for each row of the batch."""
    return {"index": jnp.zeros(cache[0], jnp.int32)} if cache else {}


def advance(state: State, cache: Room | None, x: jax.Array) -> tuple[jax.Array, State]:
    """Positions (batch or 1, time) of x (batch, time, ...), and the state after it."""
    time = x.shape[1]
    steps = jnp.arange(time, dtype=jnp.int32)[None]
    if cache is None:
        return steps, state
    batch, length = cache
    require_shape(x, batch, None, ..., hint=f"the cache was made for a batch of {batch}")
    index = state["index"]
    with jax.ensure_compile_time_eval():  # known, a function that is being traced may hold it
        seen = 0 if isinstance(index, Tracer) else int(index.max())
    if seen + time > length:
        raise ShapeError(f"the cache holds {length} positions, {seen} of them taken; {time} more do not fit")
    return index[:, None] + steps, state | {"index": index + time}


def _put(kept: jax.Array, new: jax.Array, positions: jax.Array, axis: int) -> jax.Array:
    """kept (batch, heads, ...) with new (batch, time, heads, n) at its positions along an axis; the rest is dropped."""
    write = partial(_write_one if positions.size == 1 else _write, axis=axis)
    return apart(write, kept, new.astype(kept.dtype), positions)


def _write(kept: jax.Array, new: jax.Array, positions: jax.Array, axis: int) -> jax.Array:
    rows = jnp.arange(kept.shape[0], dtype=jnp.int32)[:, None]
    return kept.at[rows, *[slice(None)] * (axis - 1), positions].set(new, mode="drop")


def _write_one(kept: jax.Array, new: jax.Array, positions: jax.Array, axis: int) -> jax.Array:
    """The same for one token of one text, which XLA writes in place."""
    at = positions[0, 0]
    old = jax.lax.dynamic_slice_in_dim(kept, at, 1, axis)
    new = jnp.where(at < kept.shape[axis], jnp.moveaxis(new, 1, axis), old)
    return jax.lax.dynamic_update_slice_in_dim(kept, new, at, axis)


def _has_cache(path: str, part: Layer) -> bool:
    return part.call is not None and "cache" in part.call.bound.signature.parameters
