"""Layers of linear under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case


def with_itself(x, both):
    return both(x, x)


CASES = {
    "dense": Case(nn.dense(5, 3), (5,)),
    "dense on axes": Case(nn.dense(5, 3, use_bias=False), (2, 4, 5)),
    "einsum to heads": Case(nn.einsum("...d,dhk->...hk", (5, 2, 3), bias="hk"), (4, 5)),
    "einsum from heads": Case(nn.einsum("bthk,hkd->btd", (2, 3, 5), bias="d"), (4, 2, 3)),
    "einsum of experts": Case(nn.einsum("...ed,edf->...ef", (2, 3, 4)), (2, 3)),
    "bilinear": Case(nn.wire(with_itself, both=nn.bilinear(5, 5, 3)), (2, 5)),
    "layer scale": Case(nn.layer_scale(5, scale_init=nn.constant(0.1)), (2, 5)),
    "squeeze excite": Case(nn.squeeze_excite(6, reduction=4), (3, 2, 6)),
    "patch embedding": Case(nn.patch_embedding(3, 5, (2, 3)), (4, 6, 3)),
    "mlp": Case(nn.mlp(5, 7, 3, activation=nn.tanh), (5,)),
    "gated mlp": Case(nn.gated_mlp(5, 7), (2, 5)),
    "gated mlp biased": Case(nn.gated_mlp(5, 7, gate=nn.gelu, use_bias=True), (5,)),
    "maxout": Case(nn.maxout(5, 3, pieces=3), (5,)),
    "embedding": Case(nn.embedding(7, 3), (4,), width_matters=False, tokens=7),
}
