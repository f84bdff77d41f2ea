"""The mathematics of attention, written once: all ways to compute it call this on all queries or on blocks of them."""

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import ArrayLike

from fdl.nn.transformer.masks import distances, reachable, segment_mask
from fdl.tree import widen

PER_QUERY = "attention_per_query"  # the name of what is small enough to keep for the backward pass


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    positions: jax.Array,
    key_positions: jax.Array,
    where: jax.Array | None,
    bias: jax.Array | None,
    segments: jax.Array | None,
    key_segments: jax.Array | None,
    slopes: jax.Array | None,
    causal: bool,
    window: int | None,
    softcap: float | None,
    scale: ArrayLike,
) -> jax.Array:
    """Attention of queries at `positions` to keys at `key_positions`.  Shapes as in `dot_product_attention`."""
    logits = products(query, key) * jnp.asarray(scale, widen(query).dtype)
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    if bias is not None:
        logits = logits + bias.astype(logits.dtype)
    distance = distances(positions, key_positions)
    if slopes is not None:
        logits = logits - slopes.astype(logits.dtype)[None, :, None, None] * jnp.abs(distance).astype(logits.dtype)
    masks = [where] if where is not None else []
    if causal or window is not None:
        masks.append(reachable(distance, causal=causal, window=window))
    if segments is not None and key_segments is not None:
        masks.append(segment_mask(segments, key_segments))
    for mask in masks:
        logits = jnp.where(mask, logits, -jnp.inf)
    return softmax_mean(logits, value).astype(query.dtype)


def products(query: jax.Array, key: jax.Array) -> jax.Array:
    """Inner products of queries with the keys of their group, in float32 at least.  -> (batch, heads, time, keys)"""
    batch, time, heads, head_dim = query.shape
    grouped = query.reshape(batch, time, key.shape[2], heads // key.shape[2], head_dim)
    logits = jnp.einsum("btkgd,bskd->bkgts", grouped, key, preferred_element_type=widen(query).dtype)
    return logits.reshape(batch, heads, time, key.shape[1])


def softmax_mean(logits: jax.Array, value: jax.Array) -> jax.Array:
    """Means of the values weighted by the softmax of the logits; zero where every logit is -inf, or there is none."""
    batch, heads, time, keys = logits.shape
    kv_heads = value.shape[2]
    # The largest logit is taken as finite, so that a row of -inf has exponentials and gradients of zero, not NaN.
    largest = jnp.max(logits, axis=-1, keepdims=True, initial=jnp.finfo(logits.dtype).min)
    weights = jnp.exp(logits - checkpoint_name(jax.lax.stop_gradient(largest), PER_QUERY))
    total = checkpoint_name(jnp.sum(weights, axis=-1), PER_QUERY).reshape(batch, kv_heads, heads // kv_heads, time)
    weights = weights.reshape(*total.shape, keys).astype(value.dtype)
    sums = jnp.einsum("bkgts,bskv->btkgv", weights, value, preferred_element_type=logits.dtype)
    sums = checkpoint_name(sums, PER_QUERY)
    means = sums / jnp.moveaxis(jnp.where(total == 0, 1, total), 3, 1)[..., None]
    return means.reshape(batch, time, heads, value.shape[-1])
