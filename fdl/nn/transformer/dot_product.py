"""Attention as a function of arrays, and the choice of how to compute it."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.nn.transformer.arguments import (
    pair_of_segments,
    require_heads,
    require_numbers,
    require_over_logits,
    require_positions,
)
from fdl.nn.transformer.attend import attend
from fdl.nn.transformer.chunked import in_chunks
from fdl.nn.transformer.fused import attend_fused
from fdl.nn.transformer.masks import query_positions
from fdl.nn.transformer.windowed import near_keys

Implementation = Literal["plain", "chunked", "fused"]
CHUNK = 128  # queries at a time
PLAIN = 512  # up to so many queries it is as fast to keep all logits


def dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    where: jax.Array | None = None,
    bias: jax.Array | None = None,
    causal: bool = False,
    window: int | None = None,
    segments: jax.Array | tuple[jax.Array, jax.Array] | None = None,
    slopes: jax.Array | None = None,
    softcap: float | None = None,
    scale: ArrayLike | None = None,
    offset: ArrayLike = 0,
    chunk: int | None = None,
    implementation: Implementation | None = None,
) -> jax.Array:
    """Means of the values, weighted by the softmax of query · key.  https://arxiv.org/abs/1706.03762

    query (batch, time, heads, head_dim), key (batch, keys, kv_heads, head_dim), value (batch, keys, kv_heads,
    value_dim) -> (batch, time, heads, value_dim).  Query head h reads the keys and values of head
    h // (heads // kv_heads).  A query that may look at nothing gives zero, and so do its gradients.

    - where, bias: True = may look, and numbers added to the logits; each axis of (batch, heads, time, keys) exact or 1.
    - causal: the query at position offset + i sees keys 0 ... offset + i; offset is () or (batch,), fixed or traced.
    - window: sees fewer than `window` positions back (and itself), or to either side if not causal.
    - segments: int (batch, time), or such a pair for queries and keys; only equal ids see each other.
    - slopes: (heads,), subtracts slope · distance from the logits, see `alibi_slopes`.
    - softcap: logits become softcap · tanh(logits / softcap) before bias and masks.  https://arxiv.org/abs/2408.00118
    - scale: of the logits, head_dim ** -0.5 if not given.

    implementation: "plain" keeps all logits for the backward pass; "chunked" holds those of `chunk` queries at a time
    and computes them twice, so its memory is linear in time and in keys (a dense where or bias is not); "fused" is
    cuDNN's flash kernel for float16 and bfloat16 on NVIDIA GPUs, which must be asked for, since what is compiled for
    one device could not run on another.  None is "plain" up to 512 queries, "chunked" beyond or if a chunk is given.
    Raises ShapeError, DtypeError, and ValueError for options that do not go together.
    """
    require_heads(query, key, value)
    require_numbers(window, softcap, chunk, implementation)
    batch, time, heads, head_dim = query.shape
    keys = key.shape[1]
    require_over_logits(where, bias, (batch, heads, time, keys))
    require_positions(query, slopes, offset)
    ids, key_ids = pair_of_segments(segments, batch, time, keys)
    scale = head_dim**-0.5 if scale is None else scale
    options = {"causal": causal, "window": window, "softcap": softcap, "scale": scale}
    if implementation == "fused":
        options |= {"segments": segments, "slopes": slopes, "offset": offset}
        return attend_fused(query, key, value, where=where, bias=bias, **options)
    arrays = {"query": query, "key": key, "value": value, "where": where, "bias": bias, "slopes": slopes}
    arrays |= {"positions": query_positions(time, offset), "key_positions": jnp.arange(keys, dtype=jnp.int32)}
    arrays |= {"segments": ids, "key_segments": key_ids}

    def attend_near(**arrays):
        return attend(**near_keys(arrays, causal=causal, window=window), **options)

    if implementation == "plain" or (implementation is None and chunk is None and time <= PLAIN):
        return attend_near(**arrays)
    return in_chunks(attend_near, arrays, chunk or CHUNK)
