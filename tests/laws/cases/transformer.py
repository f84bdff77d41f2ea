"""Layers of transformer under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case


def backwards(x, attend):
    return attend(x, x[:, ::-1])


def context_alone(x, attend):
    return attend(x, x[:, ::-1])[0]


OPTIONS = {"kv_heads": 1, "causal": True, "window": 2, "rotary": 10.0, "qk_norm": True, "softcap": 2.0}

CASES = {
    "attention": Case(nn.attention(4, 2, **OPTIONS), (3, 4)),
    "cross-attention": Case(nn.wire(backwards, attend=nn.attention(4, 2, memory_dim=4)), (3, 4)),
    "additive attention": Case(nn.wire(context_alone, attend=nn.additive_attention(4, 4, 3)), (3, 4)),
    "learned position": Case(nn.learned_position(5, 4), (3, 4)),
    "sinusoidal position": Case(nn.sinusoidal_position(4), (3, 4)),
    "encoder block": Case(nn.encoder_block(4, 2, hidden=5, rate=0.1, alibi=True), (3, 4), noisy=True),
    "decoder block": Case(nn.wire(backwards, attend=nn.decoder_block(4, 2, hidden=5, norm_first=False)), (3, 4)),
    "llama block": Case(nn.llama_block(4, 2, hidden=5), (3, 4)),
    "mixture of experts": Case(nn.mixture_of_experts(4, nn.dense(4, 4), 3), (3, 4), batched_moments=True),
}
