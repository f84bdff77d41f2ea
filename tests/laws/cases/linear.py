"""Layers of linear under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "dense": Case(nn.dense(5, 3), (5,)),
    "dense on axes": Case(nn.dense(5, 3, use_bias=False), (2, 4, 5)),
    "maxout": Case(nn.maxout(5, 3, pieces=3), (5,)),
    "embedding": Case(nn.embedding(7, 3), (4,), width_matters=False, tokens=7),
}
