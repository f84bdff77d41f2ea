"""Layers that draw noise in training and do nothing otherwise."""

from fdl.nn.noise.dropout import dropout, gaussian_noise
from fdl.nn.noise.structured import alpha_dropout, drop_block, drop_path, gaussian_dropout, spatial_dropout

__all__ = [
    "dropout",
    "gaussian_noise",
    "spatial_dropout",
    "alpha_dropout",
    "gaussian_dropout",
    "drop_path",
    "drop_block",
]
