"""Layers of pooling under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "max pool": Case(nn.max_pool(2), (4, 6, 3), width_matters=False),
    "max pool overlapping": Case(nn.max_pool(3, stride=2, padding=1), (5, 7, 2), width_matters=False),
    "min pool": Case(nn.min_pool(3, stride=2), (5, 7, 2), width_matters=False),
    "average pool": Case(nn.average_pool(2), (4, 6, 3), width_matters=False),
    "average pool overlapping": Case(nn.average_pool((3, 2), stride=1, padding="same"), (4, 5, 2), width_matters=False),
    "sum pool": Case(nn.sum_pool(2, stride=1), (3, 4, 2), width_matters=False),
    "lp pool": Case(nn.lp_pool(2, order=3), (4, 5, 2), width_matters=False),
    "subsampling": Case(nn.subsampling(3), (4, 5, 3)),
    "adaptive max pool": Case(nn.adaptive_max_pool((3, 2)), (5, 4, 2), width_matters=False),
    "adaptive average pool": Case(nn.adaptive_average_pool((3, 2)), (5, 4, 2), width_matters=False),
}
