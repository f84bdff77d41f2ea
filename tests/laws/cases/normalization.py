"""Layers of normalization under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "batch norm": Case(nn.batch_norm(4), (3, 4), batched_moments=True),
    "layer norm": Case(nn.layer_norm(4), (3, 4)),
    "rms norm": Case(nn.rms_norm(4), (3, 4)),
    "group norm": Case(nn.group_norm(6, 2), (3, 2, 6)),
    "instance norm": Case(nn.instance_norm(4), (3, 2, 4)),
    "local response norm": Case(nn.local_response_norm(3, alpha=0.1), (3, 6), width_matters=False),
}
