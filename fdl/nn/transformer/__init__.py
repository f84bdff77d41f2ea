"""Attention, positions, and the blocks made of them."""

from fdl.nn.transformer.additive import additive_attention
from fdl.nn.transformer.attention import attention
from fdl.nn.transformer.blocks import decoder_block, encoder_block, llama_block
from fdl.nn.transformer.cache import cached, rewind
from fdl.nn.transformer.dot_product import dot_product_attention
from fdl.nn.transformer.experts import mixture_of_experts
from fdl.nn.transformer.masks import alibi_slopes, causal_mask, length_mask, segment_mask, sliding_window_mask
from fdl.nn.transformer.position import learned_position, sinusoidal_position, sinusoids
from fdl.nn.transformer.rotary import ntk_by_parts, rotary

__all__ = [
    "dot_product_attention",
    "causal_mask",
    "sliding_window_mask",
    "length_mask",
    "segment_mask",
    "alibi_slopes",
    "attention",
    "additive_attention",
    "learned_position",
    "sinusoidal_position",
    "sinusoids",
    "rotary",
    "ntk_by_parts",
    "encoder_block",
    "decoder_block",
    "llama_block",
    "cached",
    "rewind",
    "mixture_of_experts",
]
