"""What a net computes on a CPU grows with its depth: nothing element-wise is computed again in each of its uses."""

import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from fdl.compile import compile

CHANNELS = 4


@nn.layer
def residual(depth):
    """Blocks whose sum every later block would compute again if it were melted into it."""
    return nn.wire(lambda x, parts: _chain(x, parts), parts=[nn.depthwise_conv(CHANNELS, 3) for _ in range(depth)])


def _chain(x, parts):
    for part in parts:
        x = nn.relu(x + part(x))
    return x


def operations(model):
    """Floating-point operations of one gradient, as XLA counts them in the program it made."""
    params, state = model.init(jax.random.key(0))
    loss = lambda params, x: jnp.sum(model.apply(params, state, x, train=True)[0] ** 2)
    return compile(jax.grad(loss)).lower(params, jnp.ones((4, 8, 8, CHANNELS))).compile().cost_analysis()["flops"]


def test_operations_grow_with_depth_and_not_faster():
    two, four, six = (operations(residual(depth)) for depth in (2, 4, 6))
    assert six - four == pytest.approx(four - two, rel=0.05)


def test_a_depthwise_sum_is_computed_once_in_front_of_a_batch_norm():
    alone = operations(nn.serial(nn.depthwise_conv(CHANNELS, 3)))
    followed = operations(nn.serial(nn.depthwise_conv(CHANNELS, 3), nn.batch_norm(CHANNELS)))
    assert followed - alone < 40 * 4 * 8 * 8 * CHANNELS  # the norm takes 34 a value, a sum of nine 17
