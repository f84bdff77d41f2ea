"""Layers of composition under the laws of tests/laws/test_layer_laws.py."""

import jax.numpy as jnp

from fdl import nn
from tests.laws.case import Case


def twice(x, body):
    return body(x) + x


def plus(a, b):
    return a + b


def side_by_side(x, both):
    return jnp.concatenate(list(both(jnp.stack([x, x]))), -1)


CASES = {
    "function": Case(nn.function(nn.tanh), (6,), width_matters=False),
    "serial": Case(nn.serial(nn.dense(5, 4), nn.relu, nn.dropout(0.2), nn.dense(4, 3)), (5,), noisy=True),
    "wire": Case(nn.wire(twice, body=nn.dense(5, 5)), (5,)),
    "residual": Case(nn.residual(nn.layer_norm(5), nn.dense(5, 5)), (5,)),
    "parallel": Case(nn.parallel(nn.dense(5, 3), nn.dense(5, 3), join=plus), (5,)),
    "repeat": Case(nn.repeat(nn.serial(nn.dense(5, 5), nn.dropout(0.1)), 3), (5,), noisy=True),
    "each": Case(nn.wire(side_by_side, both=nn.each(nn.serial(nn.dense(5, 3), nn.dropout(0.1)), 2)), (5,), noisy=True),
    "remat": Case(nn.remat(nn.serial(nn.dense(5, 4), nn.batch_norm(4))), (5,), batched_moments=True),
}
