"""Attention with several heads: projections around `dot_product_attention`."""

from functools import partial

import jax

from fdl.checks import require_shape
from fdl.nn.activations import identity
from fdl.nn.compose import wire
from fdl.nn.initializers import Initializer, lecun_normal
from fdl.nn.layer import Layer, layer
from fdl.nn.linear import dense
from fdl.nn.normalization import rms_norm
from fdl.nn.transformer.cache import key_value_cache
from fdl.nn.transformer.dot_product import Implementation, dot_product_attention
from fdl.nn.transformer.masks import alibi_slopes
from fdl.nn.transformer.rotary import rotary as rotary_of
from fdl.recipe import Function


@layer
def attention(
    dim: int,
    heads: int,
    *,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    memory_dim: int | None = None,
    causal: bool = False,
    window: int | None = None,
    rotary: float | Function | None = None,
    alibi: bool = False,
    qk_norm: bool = False,
    softcap: float | None = None,
    scale: float | None = None,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    chunk: int | None = None,
    implementation: Implementation | None = None,
) -> Layer:
    """Multi-head attention.  (batch, time, dim) -> same shape  https://arxiv.org/abs/1706.03762

    attend(x, where, segments) looks at x itself; with memory_dim, attend(x, memory, where, segments) looks at a memory
    (batch, keys, memory_dim).  Masks are optional and those of `dot_product_attention`: for padding
    where=valid[:, None, None, :], True = may be looked at.

    kv_heads below heads is grouped-query attention, 1 is multi-query.  rotary is a base frequency, such as 10000.0, or
    a value of `rotary`.  qk_norm is an `rms_norm` of each head's query and key.  There is no dropout on the weights,
    which fused attention never holds in memory; drop out what attention adds, as the blocks do.  In a `cached` model
    "fused" stands for None.
    Raises ValueError for sizes that do not divide, or for positions in a memory, which has none.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    if head_dim is None:
        head_dim = _divided(dim, heads, "heads must divide dim, or head_dim be given")
    _divided(heads, kv_heads, "kv_heads must divide heads")
    if rotary is not None:
        _divided(head_dim, 2, "rotary turns pairs of channels: 2 must divide head_dim")
    if memory_dim is not None and (causal or window is not None or rotary is not None or alibi):
        raise ValueError("causal, window, rotary and alibi compare positions, which a memory has none of")
    rotate = rotary_of(rotary) if isinstance(rotary, int | float) else rotary
    how = {"causal": causal, "window": window, "softcap": softcap, "scale": scale, "chunk": chunk}

    def look(q, k, v, where, segments, offset=0):
        slopes = alibi_slopes(heads) if alibi else None
        goes_on = not isinstance(offset, int)  # from a cache, which the fused kernels do not know
        kind = None if goes_on and implementation == "fused" else implementation
        masks = {"where": where, "segments": segments, "slopes": slopes, "offset": offset}
        y = dot_product_attention(q, k, v, **masks, **how, implementation=kind)
        return y.reshape(*y.shape[:2], heads * head_dim)

    def alone(x, where=None, segments=None, *, query, key, value, output, query_norm, key_norm, cache):
        require_shape(x, None, None, dim)
        q, k, v = (_split(project(x), head_dim) for project in (query, key, value))
        q, k, v, offset = cache(query_norm(q), key_norm(k), v)
        return output(look(q, k, v, where, segments, offset))

    def across(x, memory, where=None, segments=None, *, query, key, value, output, query_norm, key_norm):
        require_shape(x, None, None, dim)
        require_shape(memory, x.shape[0], None, memory_dim, name="memory")
        q, k, v = (_split(project(x), head_dim) for project, x in ((query, x), (key, memory), (value, memory)))
        return output(look(query_norm(q), key_norm(k), v, where, segments))

    affine = partial(dense, use_bias=use_bias, kernel_init=kernel_init)
    source = dim if memory_dim is None else memory_dim
    parts = {
        "query": affine(dim, heads * head_dim),
        "key": affine(source, kv_heads * head_dim),
        "value": affine(source, kv_heads * head_dim),
        "output": affine(heads * head_dim, dim),
        "query_norm": rms_norm(head_dim) if qk_norm else identity,
        "key_norm": rms_norm(head_dim) if qk_norm else identity,
    }
    if memory_dim is not None:
        return wire(across, **parts)
    return wire(alone, **parts, cache=key_value_cache(kv_heads, head_dim, rotate=rotate, causal=causal))


def _divided(whole: int, count: int, rule: str) -> int:
    if count < 1 or whole % count:
        raise ValueError(f"{rule}, got {count} for {whole}")
    return whole // count


def _split(x: jax.Array, head_dim: int) -> jax.Array:
    """(batch, time, heads * head_dim) -> (batch, time, heads, head_dim)"""
    return x.reshape(*x.shape[:-1], -1, head_dim)
