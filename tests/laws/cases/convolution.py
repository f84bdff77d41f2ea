"""Layers of convolution under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "conv 1d": Case(nn.conv(3, 4, (3,)), (7, 3)),
    "conv 2d": Case(nn.conv(3, 4, 3, stride=2, padding=1), (5, 6, 3)),
    "conv 2d grouped": Case(nn.conv(4, 6, (3, 2), groups=2, padding="valid"), (5, 6, 4)),
    "conv 2d depthwise": Case(nn.conv(4, 4, 3, groups=4), (5, 5, 4)),
    "conv 2d dilated": Case(nn.conv(2, 3, 3, dilation=2), (6, 5, 2)),
    "conv 3d": Case(nn.conv(2, 2, (2, 2, 2)), (3, 4, 3, 2)),
}
