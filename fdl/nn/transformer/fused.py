"""Attention by cuDNN's flash kernels, through JAX's public function."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.nn.transformer.masks import sliding_window_mask


def attend_fused(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    where: jax.Array | None,
    bias: jax.Array | None,
    causal: bool,
    window: int | None,
    scale: Any,
    **absent: Any,
) -> jax.Array:
    """Attention on an NVIDIA GPU.  Shapes as in `dot_product_attention`; `absent` are its options that must be off.

    Raises ValueError saying what the kernels cannot do.
    """
    _require_expressible(query, key, value, causal=causal, window=window, scale=scale, **absent)
    batch, time, heads, _ = query.shape
    logits_shape = batch, heads, time, key.shape[1]
    sees = None
    if where is not None:
        near = sliding_window_mask(time, window or time, key.shape[1]) if causal else True
        sees = jnp.any(where & near, axis=3, keepdims=True)
        where = where | ~sees  # a row of nothing is NaN in cuDNN's backward pass, and reaches the gradients of all keys
    y = jax.nn.dot_product_attention(
        query,
        key,
        value,
        None if bias is None else jnp.broadcast_to(bias, logits_shape).astype(query.dtype),
        None if where is None else jnp.broadcast_to(where, logits_shape),
        scale=scale,
        is_causal=causal,
        local_window_size=None if window is None else (window - 1, 0),
        implementation="cudnn",
    )
    return y if sees is None else jnp.where(jnp.moveaxis(jnp.broadcast_to(sees, (*logits_shape[:3], 1)), 1, 2), y, 0)


def _require_expressible(query, key, value, *, causal, window, scale, offset, segments, slopes, softcap) -> None:
    unfit = {
        f"{query.dtype}: cast to bfloat16": query.dtype not in (jnp.bfloat16, jnp.float16),
        "values of another width than the keys": value.shape[-1] != key.shape[-1],
        "segments: give where=segment_mask(...)": segments is not None,
        "slopes": slopes is not None,
        "softcap": softcap is not None,
        "a scale that is not a plain number": not isinstance(scale, float | int),
        "causal attention from an offset": causal and not (isinstance(offset, int) and offset == 0),
        "a window without causal=True": window is not None and not causal,
        "a window where time differs from keys": window is not None and query.shape[1] != key.shape[1],
        "no queries or no keys": 0 in (query.shape[1], key.shape[1]),
    }
    for what, wrong in unfit.items():
        if wrong:
            raise ValueError(f"implementation='fused' cannot do {what}; or leave the implementation to None")
