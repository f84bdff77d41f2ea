"""Layers of activations under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "prelu": Case(nn.prelu(5), (3, 5)),
}
