"""The plain cell against torch's."""

import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from tests.nn.recurrent.by_torch import call, flat, normal, runs, weights


@pytest.mark.parametrize("activation", [nn.tanh, nn.relu], ids=["tanh", "relu"])
def test_elman_is_the_rnn_of_torch(agrees, activation):
    pytest.importorskip("torch")
    layer = nn.unroll(nn.elman(3, 4, activation=activation), carried=True)
    arrays, params_of = flat(layer)
    x, h = normal(8, 2, 5, 3), normal(9, 2, 4)

    def ours(*arrays):
        *arrays, x, h = arrays
        return runs(layer, params_of, 3)(*arrays, x, {"h": h})[::-1]

    def theirs(*arrays):
        *arrays, x, h = arrays
        named = weights("RNN", params_of(list(arrays)))
        y, last = call("RNN", named, x, h[None], nonlinearity=activation.__name__)
        return last[0], y

    agrees.torch(f"nn.elman, {activation.__name__}", ours, theirs, *arrays, x, h)


def test_a_recurrent_kernel_starts_as_a_rotation_for_each_gate():
    kernel = nn.gru(3, 4).init(jax.random.key(0))[0]["recurrent"]["kernel"]
    for gate in jnp.split(kernel, 3, -1):
        assert jnp.abs(gate.T @ gate - jnp.eye(4)).max() < 1e-5
    assert not jnp.allclose(kernel[:, :4], kernel[:, 4:8])


def test_sizes_must_be_positive():
    with pytest.raises(ValueError, match="in_dim must be at least 1, got 0"):
        nn.elman(0, 4)
    with pytest.raises(ValueError, match="dim must be at least 1, got -1"):
        nn.lstm(3, -1)
