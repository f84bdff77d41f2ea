"""Layers that do something in training alone: draw noise, or leave a term of the loss."""

from fdl.nn.noise.counter import noise_key
from fdl.nn.noise.dropout import dropout, gaussian_noise
from fdl.nn.noise.penalty import l1_activity, l2_activity, penalty
from fdl.nn.noise.rrelu import rrelu
from fdl.nn.noise.structured import alpha_dropout, drop_block, drop_path, gaussian_dropout, spatial_dropout
from fdl.nn.noise.weight_noise import weight_noise

__all__ = [
    "dropout",
    "gaussian_noise",
    "spatial_dropout",
    "alpha_dropout",
    "gaussian_dropout",
    "drop_path",
    "drop_block",
    "rrelu",
    "weight_noise",
    "penalty",
    "l1_activity",
    "l2_activity",
    "noise_key",
]
