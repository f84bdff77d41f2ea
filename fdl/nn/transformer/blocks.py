"""Transformer blocks: attention and an MLP, each added to what went in.

Further keywords of a block are arguments of its `attention`, so that one block serves many models:
encoder_block(768, 12, causal=True) is that of GPT-2, llama_block(..., qk_norm=True) that of Qwen 3.
"""

from collections.abc import Callable
from typing import Any

from fdl.nn.activations import gelu, silu
from fdl.nn.compose import wire
from fdl.nn.layer import Layer, layer
from fdl.nn.linear import gated_mlp, mlp
from fdl.nn.noise import dropout
from fdl.nn.normalization import layer_norm, rms_norm
from fdl.nn.transformer.attention import attention


@layer
def encoder_block(
    dim: int,
    heads: int,
    *,
    hidden: int | None = None,
    rate: float = 0.0,
    norm_first: bool = True,
    activation: Callable = gelu,
    eps: float = 1e-5,
    **attend: Any,
) -> Layer:
    """Self-attention and an MLP; block(x, where, segments).  (batch, time, dim) -> same shape

    hidden is the width of the MLP, 4 dim by default.  norm_first=False normalises after each addition, as published
    (https://arxiv.org/abs/1706.03762), True before each branch (https://arxiv.org/abs/2002.04745).  Dropout is on
    what each branch adds, as published; torch has it on the attention weights and inside the MLP besides.
    """
    add = _before if norm_first else _after

    def forward(x, where=None, segments=None, *, norm1, attend, norm2, mlp, drop):
        x = add(x, norm1, lambda x: attend(x, where, segments), drop)
        return add(x, norm2, mlp, drop)

    return wire(
        forward,
        norm1=layer_norm(dim, eps=eps),
        attend=attention(dim, heads, **attend),
        norm2=layer_norm(dim, eps=eps),
        mlp=mlp(dim, 4 * dim if hidden is None else hidden, dim, activation=activation),
        drop=dropout(rate),
    )


@layer
def decoder_block(
    dim: int,
    heads: int,
    *,
    memory_dim: int | None = None,
    hidden: int | None = None,
    rate: float = 0.0,
    norm_first: bool = True,
    activation: Callable = gelu,
    eps: float = 1e-5,
    **attend: Any,
) -> Layer:
    """Causal self-attention, attention to a memory, and an MLP; block(x, memory, where, memory_where).

    x (batch, time, dim), memory (batch, keys, memory_dim, by default dim) -> shape of x.  Further keywords are for the
    self-attention; the rest is as in `encoder_block`.  https://arxiv.org/abs/1706.03762
    """
    add = _before if norm_first else _after

    def forward(x, memory, where=None, memory_where=None, *, norm1, attend, norm2, cross, norm3, mlp, drop):
        x = add(x, norm1, lambda x: attend(x, where), drop)
        x = add(x, norm2, lambda x: cross(x, memory, memory_where), drop)
        return add(x, norm3, mlp, drop)

    return wire(
        forward,
        norm1=layer_norm(dim, eps=eps),
        attend=attention(dim, heads, causal=True, **attend),
        norm2=layer_norm(dim, eps=eps),
        cross=attention(dim, heads, memory_dim=dim if memory_dim is None else memory_dim),
        norm3=layer_norm(dim, eps=eps),
        mlp=mlp(dim, 4 * dim if hidden is None else hidden, dim, activation=activation),
        drop=dropout(rate),
    )


@layer
def llama_block(
    dim: int,
    heads: int,
    *,
    hidden: int,
    rotary: Any = 10000.0,
    gate: Callable = silu,
    eps: float = 1e-5,
    **attend: Any,
) -> Layer:
    """Causal self-attention with rotary positions and a gated MLP, both after an RMS norm and without biases.

    (batch, time, dim) -> same shape; block(x, where, segments).  https://arxiv.org/abs/2302.13971
    kv_heads is that of grouped-query attention, as in Llama 2 and later; other keywords are those of `attention`.
    """

    def forward(x, where=None, segments=None, *, norm1, attend, norm2, mlp):
        x = x + attend(norm1(x), where, segments)
        return x + mlp(norm2(x))

    return wire(
        forward,
        norm1=rms_norm(dim, eps=eps),
        attend=attention(dim, heads, causal=True, rotary=rotary, use_bias=False, **attend),
        norm2=rms_norm(dim, eps=eps),
        mlp=gated_mlp(dim, hidden, gate=gate),
    )


def _before(x, norm, branch, drop):
    return x + drop(branch(norm(x)))


def _after(x, norm, branch, drop):
    return norm(x + drop(branch(x)))
