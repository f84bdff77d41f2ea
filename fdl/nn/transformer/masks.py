"""Who may look at whom: boolean masks of rank 4, (batch, heads, time, keys), True = may look.

Every mask compares positions or ids, so a block of a mask is the same function of a block of positions.
"""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_integer, require_shape


def causal_mask(time: int, keys: int | None = None, offset: ArrayLike = 0) -> jax.Array:
    """Each query sees itself and what came before.  -> bool (1 or batch, 1, time, keys)

    Query i stands at position offset + i; offset is one integer, or int (batch,).
    """
    distance = distances(query_positions(time, offset), _count(time if keys is None else keys))
    return reachable(distance, causal=True, window=None)


def sliding_window_mask(
    time: int, window: int, keys: int | None = None, offset: ArrayLike = 0, *, causal: bool = True
) -> jax.Array:
    """Each query sees the last `window` keys, itself among them.  -> bool (1 or batch, 1, time, keys)

    causal=False: fewer than `window` positions away on either side.  Offset as in `causal_mask`.
    """
    if window < 1:
        raise ValueError(f"window must be 1 or more (1 sees only itself), got {window}")
    distance = distances(query_positions(time, offset), _count(time if keys is None else keys))
    return reachable(distance, causal=causal, window=window)


def length_mask(lengths: jax.Array, keys: int) -> jax.Array:
    """Each example sees its first `lengths` keys, the rest being padding.  int (batch,) -> bool (batch, 1, 1, keys)"""
    require_integer(lengths, "lengths")
    require_shape(lengths, None, name="lengths", hint="one length for each example")
    return _count(keys)[None, None, None] < lengths[:, None, None, None]


def segment_mask(query_segments: jax.Array, key_segments: jax.Array | None = None) -> jax.Array:
    """Only equal ids see each other: sequences packed in one row.  int (batch, time) -> bool (batch, 1, time, keys)"""
    key_segments = query_segments if key_segments is None else key_segments
    for name, ids in (("query_segments", query_segments), ("key_segments", key_segments)):
        require_integer(ids, name)
        require_shape(ids, None, None, name=name)
    return query_segments[:, None, :, None] == key_segments[:, None, None, :]


def alibi_slopes(heads: int) -> jax.Array:
    """Slopes of attention with linear biases.  -> (heads,)  https://arxiv.org/abs/2108.12409

    For heads = 2^n the series 2^(-8/heads), 2^(-16/heads), ...; otherwise that of the next lower power of two, then
    every second slope of the next higher one, as the authors' code has it.
    """
    if heads < 1:
        raise ValueError(f"heads must be 1 or more, got {heads}")
    power = 2 ** int(math.log2(heads))
    finer = _geometric(2 * power)[::2]
    return jnp.array(_geometric(power) + finer[: heads - power])


def query_positions(time: int, offset: ArrayLike = 0) -> jax.Array:
    """Positions of `time` queries of which the first is at `offset`.  () or int (batch,) -> (1 or batch, time)"""
    return jnp.reshape(jnp.asarray(offset, jnp.int32), (-1, 1)) + _count(time)[None]


def distances(query_positions: jax.Array, key_positions: jax.Array) -> jax.Array:
    """How far each key lies before each query.  int (batch, time), (keys,) -> (batch, 1, time, keys)"""
    return query_positions[:, None, :, None] - key_positions[None, None, None]


def reachable(distance: jax.Array, *, causal: bool, window: int | None) -> jax.Array:
    """Which of the keys at these distances may be seen."""
    far = jnp.iinfo(distance.dtype).max if window is None else window
    return (distance >= 0) & (distance < far) if causal else jnp.abs(distance) < far


def _count(n: int) -> jax.Array:
    return jnp.arange(n, dtype=jnp.int32)


def _geometric(heads: int) -> list[float]:
    return [2 ** (-8 * (i + 1) / heads) for i in range(heads)]
