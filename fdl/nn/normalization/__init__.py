"""Layers that set mean and size of their input."""

from fdl.nn.normalization.batch import batch_norm
from fdl.nn.normalization.group import group_norm, instance_norm
from fdl.nn.normalization.layer import layer_norm, rms_norm
from fdl.nn.normalization.response import local_response_norm

__all__ = [
    "batch_norm",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "instance_norm",
    "local_response_norm",
]
