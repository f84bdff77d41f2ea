"""Layers of shape under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "reshape": Case(nn.reshape(3, 2, 4), (6, 4), width_matters=False),
    "pad zero": Case(nn.pad(((1, 0), 2)), (3, 4, 2), width_matters=False),
    "pad reflect": Case(nn.pad(2, "reflect"), (3, 4, 2), width_matters=False),
    "pad replicate": Case(nn.pad(2, "replicate"), (3, 2), width_matters=False),
    "pad circular": Case(nn.pad(2, "circular"), (3, 4, 2), width_matters=False),
    "crop": Case(nn.crop(((1, 0), 1)), (3, 4, 2), width_matters=False),
    "upsample nearest": Case(nn.upsample((2, 3)), (3, 4, 2), width_matters=False),
    "upsample bilinear": Case(nn.upsample(2, "bilinear"), (3, 4, 2), width_matters=False),
    "upsample aligned": Case(nn.upsample(3, "bilinear", align_corners=True), (3, 2), width_matters=False),
    "channel shuffle": Case(nn.channel_shuffle(3), (2, 6), width_matters=False),
    "pixel shuffle": Case(nn.pixel_shuffle(2), (3, 2, 12), width_matters=False),
    "pixel unshuffle": Case(nn.pixel_unshuffle(2), (4, 6, 3), width_matters=False),
    "unfold": Case(nn.unfold((2, 3), stride=2, dilation=(2, 1), padding=1), (4, 5, 2), width_matters=False),
    "fold": Case(nn.fold((4, 5), (2, 3)), (3, 3, 12), width_matters=False),
}
