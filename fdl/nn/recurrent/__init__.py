"""Layers that read a sequence step by step and carry what they have read."""

from fdl.nn.recurrent.cell import Carry, Cell, cell, make_cell
from fdl.nn.recurrent.directions import bidirectional, stacked
from fdl.nn.recurrent.elman import elman
from fdl.nn.recurrent.gru import gru, minimal_gated_unit
from fdl.nn.recurrent.lstm import conv_lstm, lstm
from fdl.nn.recurrent.state_space import mamba, state_space
from fdl.nn.recurrent.unroll import unroll

__all__ = [
    "Carry",
    "Cell",
    "cell",
    "make_cell",
    "elman",
    "lstm",
    "conv_lstm",
    "gru",
    "minimal_gated_unit",
    "unroll",
    "bidirectional",
    "stacked",
    "state_space",
    "mamba",
]
