"""Layers of normalization under the laws of tests/laws/test_layer_laws.py."""

import jax.numpy as jnp

from fdl import nn
from tests.laws.case import Case


def positive(kernel, params, state, train):
    return jnp.logaddexp(kernel, 0 * kernel), {}


# The singular vectors of a kernel with one output are exact after a step, so that finite differences see none move.
NET = nn.serial(nn.conv(3, 4, 2), nn.batch_norm(4), nn.conv(4, 1, 3, use_bias=False))

CASES = {
    "batch norm": Case(nn.batch_norm(4), (3, 4), batched_moments=True),
    "batch norm, all steps": Case(nn.batch_norm(4, momentum=None), (3, 4), batched_moments=True),
    "layer norm": Case(nn.layer_norm(4), (3, 4)),
    "rms norm": Case(nn.rms_norm(4), (3, 4)),
    "group norm": Case(nn.group_norm(6, 2), (3, 2, 6)),
    "instance norm": Case(nn.instance_norm(4), (3, 2, 4)),
    "local response norm": Case(nn.local_response_norm(3, alpha=0.1), (3, 6), width_matters=False),
    "filter response norm": Case(nn.filter_response_norm(4), (3, 2, 4)),
    "global response norm": Case(nn.global_response_norm(4), (3, 2, 4)),
    "reparametrize": Case(nn.reparametrize(nn.dense(5, 3), "kernel", positive), (5,)),
    "weight norm": Case(nn.weight_norm(nn.conv(3, 4, 2)), (3, 4, 3)),
    "weight norm of parts": Case(nn.weight_norm(NET), (3, 4, 3), batched_moments=True),
    "weight standardisation": Case(nn.weight_standardisation(nn.conv(3, 4, 2)), (3, 4, 3)),
    "spectral norm": Case(nn.spectral_norm(nn.dense(5, 3), iterations=2), (5,)),
    "spectral norm of parts": Case(nn.spectral_norm(NET, "conv_1/kernel"), (3, 4, 3), batched_moments=True),
    # Its gradient is that of finite differences where the iteration has come to rest.
    "spectral norm repeated": Case(nn.repeat(nn.spectral_norm(nn.dense(5, 5), iterations=20), 3), (5,)),
}
