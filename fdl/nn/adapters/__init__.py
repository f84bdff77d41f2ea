"""Layers around a whole model: its parameters adapted, frozen, tied, or kept in other types, by path."""

from fdl.nn.adapters.freeze import freeze, freeze_params, thaw_params
from fdl.nn.adapters.low_rank import dora, lora, merged
from fdl.nn.adapters.precision import mixed_precision
from fdl.nn.adapters.quantize import quantize_params, quantized
from fdl.nn.adapters.tie import tie

__all__ = [
    "lora",
    "dora",
    "merged",
    "freeze",
    "freeze_params",
    "thaw_params",
    "quantized",
    "quantize_params",
    "tie",
    "mixed_precision",
]
