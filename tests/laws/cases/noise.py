"""Layers of noise under the laws of tests/laws/test_layer_laws.py."""

from fdl import nn
from tests.laws.case import Case

CASES = {
    "dropout": Case(nn.dropout(0.4), (6,), width_matters=False, noisy=True),
    "gaussian noise": Case(nn.gaussian_noise(0.5), (6,), width_matters=False, noisy=True),
    "spatial dropout": Case(nn.spatial_dropout(0.4), (3, 2, 6), width_matters=False, noisy=True),
    "alpha dropout": Case(nn.alpha_dropout(0.4), (6,), width_matters=False, noisy=True),
    "gaussian dropout": Case(nn.gaussian_dropout(0.4), (6,), width_matters=False, noisy=True),
    "drop path": Case(nn.drop_path(0.5), (6,), width_matters=False, noisy=True),
    "rrelu": Case(nn.rrelu(0.1, 0.4), (6,), width_matters=False, noisy=True),
    "weight noise": Case(nn.weight_noise(nn.dense(5, 3), 0.02), (5,), noisy=True),
    "weight noise within": Case(
        nn.weight_noise(nn.repeat(nn.serial(nn.dense(5, 5), nn.tanh, nn.dropout(0.2)), 2), 0.02), (5,), noisy=True
    ),
    "penalty": Case(nn.penalty(nn.l2_activity(0.1)), (6,), width_matters=False),
    "drop block": Case(nn.drop_block(0.3, 2), (5, 4, 3), width_matters=False, noisy=True, batched_moments=True),
}
