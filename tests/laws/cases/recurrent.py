"""Layers of recurrent under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

deep = nn.stacked(nn.lstm(3, 4), nn.dropout(0.2), nn.bidirectional(nn.gru(4, 2), nn.gru(4, 2)))

CASES = {
    "elman": Case(nn.unroll(nn.elman(3, 4)), (5, 3)),
    "lstm": Case(nn.unroll(nn.lstm(3, 4)), (5, 3)),
    "lstm of 1997 reversed": Case(nn.unroll(nn.lstm(3, 4, forget_gate=False), reverse=True), (5, 3)),
    "lstm with peepholes projected": Case(nn.unroll(nn.lstm(3, 4, peepholes=True, out_dim=2)), (5, 3)),
    "conv lstm": Case(nn.unroll(nn.conv_lstm(2, 3, 3, peepholes=(3, 4))), (3, 3, 4, 2)),
    "conv lstm 1d": Case(nn.unroll(nn.conv_lstm(2, 3, (2,), peepholes=True)), (3, 4, 2)),
    "gru": Case(nn.unroll(nn.gru(3, 4)), (5, 3)),
    "gru reset before": Case(nn.unroll(nn.gru(3, 4, reset_after=False)), (5, 3)),
    "minimal gated unit": Case(nn.unroll(nn.minimal_gated_unit(3, 4)), (5, 3)),
    "bidirectional": Case(nn.bidirectional(nn.gru(3, 2), nn.elman(3, 4)), (5, 3)),
    "stacked": Case(
        nn.stacked(nn.lstm(3, 4), nn.dropout(0.2), nn.bidirectional(nn.gru(4, 2), nn.gru(4, 2))), (5, 3), noisy=True
    ),
    "state space": Case(nn.state_space(4, states=2, chunk=2), (5, 4)),
    "mamba": Case(nn.mamba(3, states=2, window=2, chunk=2), (5, 3)),
}
