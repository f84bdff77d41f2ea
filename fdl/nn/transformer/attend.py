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
    batch, time, heads, _ = query.shape
    rows = _by_group(query.swapaxes(1, 2), key.shape[2])
    columns = jnp.moveaxis(key, 1, 3)
    if time > 1:  # so that the gradient of the key is a product with the large array not turned
        columns = jax.lax.optimization_barrier(columns)
    logits = jnp.matmul(rows, columns, preferred_element_type=widen(query).dtype)
    return logits.reshape(batch, heads, time, key.shape[1])


def softmax_mean(logits: jax.Array, value: jax.Array) -> jax.Array:
    """Means of the values weighted by the softmax of the logits; zero where every logit is -inf, or there is none."""
    largest = jax.lax.platform_dependent(
        jax.lax.stop_gradient(logits), cpu=largest_by_halves, default=largest_by_definition
    )
    weights = jnp.exp(logits - checkpoint_name(largest, PER_QUERY))
    total = checkpoint_name(jnp.sum(weights, axis=-1, keepdims=True), PER_QUERY)
    rows = _by_group(weights.astype(value.dtype), value.shape[2])
    sums = jnp.matmul(rows, value.swapaxes(1, 2), preferred_element_type=logits.dtype)
    sums = checkpoint_name(sums, PER_QUERY).reshape(*logits.shape[:3], value.shape[-1])
    return (sums / jnp.where(total == 0, 1, total)).swapaxes(1, 2)


def largest_by_definition(logits: jax.Array) -> jax.Array:
    """The largest of each row, as a finite number: a row of -inf then has weights and gradients of zero, not NaN."""
    return jnp.max(logits, axis=-1, keepdims=True, initial=jnp.finfo(logits.dtype).min)


def largest_by_halves(logits: jax.Array) -> jax.Array:
    """The same, by comparing halves of rows: XLA on a CPU takes a maximum along rows three times slower."""
    while logits.shape[-1] % 2 == 0 and logits.shape[-1] > 8:
        logits = jnp.maximum(*jnp.split(logits, 2, -1))
    return largest_by_definition(logits)


def _by_group(x: jax.Array, kv_heads: int) -> jax.Array:
    """The rows of all heads that read one key, together: (batch, heads, time, n) -> (batch, kv_heads, rows, n)

    With batch and heads in front and rows and columns behind, the products are those that a CPU does fast.
    """
    batch, heads, time, n = x.shape
    return x.reshape(batch, kv_heads, heads // kv_heads * time, n)
