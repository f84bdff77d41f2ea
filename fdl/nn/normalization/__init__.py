"""Layers that set mean and size of their input, or of the weights of a part."""

from fdl.nn.normalization.batch import batch_norm
from fdl.nn.normalization.fold import fold_batch_norm
from fdl.nn.normalization.group import group_norm, instance_norm
from fdl.nn.normalization.layer import layer_norm, rms_norm
from fdl.nn.normalization.reparametrize import reparametrize
from fdl.nn.normalization.response import filter_response_norm, global_response_norm, local_response_norm
from fdl.nn.normalization.weight import spectral_norm, weight_norm, weight_standardisation

__all__ = [
    "batch_norm",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "instance_norm",
    "local_response_norm",
    "filter_response_norm",
    "global_response_norm",
    "reparametrize",
    "weight_norm",
    "weight_standardisation",
    "spectral_norm",
    "fold_batch_norm",
]
