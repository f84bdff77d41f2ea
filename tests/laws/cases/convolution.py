"""Layers of convolution under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "conv 1d": Case(nn.conv(3, 4, (3,)), (7, 3)),
    "conv 2d": Case(nn.conv(3, 4, 3, stride=2, padding=1), (5, 6, 3)),
    "conv 2d grouped": Case(nn.conv(4, 6, (3, 2), groups=2, padding="valid"), (5, 6, 4)),
    "conv 2d dilated": Case(nn.conv(2, 3, 3, dilation=2), (6, 5, 2)),
    "conv 3d": Case(nn.conv(2, 2, (2, 2, 2)), (3, 4, 3, 2)),
    "conv transpose 1d": Case(nn.conv_transpose(4, 2, (3,), stride=2, groups=2), (3, 4)),
    "conv transpose 2d": Case(nn.conv_transpose(3, 2, 3, stride=2, padding=1, output_padding=1), (2, 3, 3)),
    "depthwise conv": Case(nn.depthwise_conv(3, 3, multiplier=2), (4, 3, 3)),
    "separable conv": Case(nn.separable_conv(3, 2, 3), (4, 3, 3)),
    "causal conv": Case(nn.causal_conv(2, 3, 3, dilation=2), (7, 2)),
    "masked conv": Case(nn.masked_conv(2, 4, 3, mask="A", colors=2), (4, 3, 2)),
    "local conv": Case(nn.local_conv(2, 3, 2, (3, 4), stride=(1, 2)), (3, 4, 2)),
}
