"""Layers of adapters under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

NET = nn.serial(nn.dense(5, 4), nn.batch_norm(4), nn.tanh)
DEEP = nn.repeat(nn.serial(nn.dense(5, 5), nn.tanh), 2)
PAIR = nn.serial(nn.dense(5, 3), nn.dense(3, 5))

CASES = {
    "lora": Case(nn.lora(NET, "**/kernel", rank=2, scale=0.5), (5,), batched_moments=True),
    "dora": Case(nn.dora(nn.conv(3, 4, 3), "kernel", rank=2), (5, 4, 3)),
    "freeze": Case(nn.freeze(NET, "dense_0/*"), (5,), batched_moments=True),
    "freeze all": Case(nn.freeze(nn.dense(5, 3), "**"), (5,)),
    "lora frozen": Case(nn.freeze(nn.lora(DEEP, "**/kernel", rank=1), "base/**"), (5,)),
    "quantized": Case(nn.quantized(NET), (5,), batched_moments=True),
    "quantized to four bits": Case(nn.quantized(nn.dense(9, 3), bits=4, group=3), (9,)),
    "tie": Case(nn.tie(PAIR, {"dense_1/kernel": "dense_0/kernel"}, transpose=True), (5,)),
}
