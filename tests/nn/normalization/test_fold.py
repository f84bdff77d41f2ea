"""Folding batch norms changes no output, and leaves alone what it must."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import TreeError
from fdl.tree import flatten

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (3, 5, 4, 3))


def branch(x, conv, norm, deep, deep_norm):
    return x + deep_norm(deep(nn.relu(norm(conv(x)))))


BLOCK = nn.wire(
    branch,
    conv=nn.conv(4, 4, 3, use_bias=False),
    norm=nn.batch_norm(4),
    deep=nn.depthwise_conv(4, 3, use_bias=False),
    deep_norm=nn.batch_norm(4),
)
NET = nn.serial(
    nn.conv(3, 4, 3),
    nn.batch_norm(4, eps=1e-3),
    nn.repeat(BLOCK, 2),
    nn.residual(nn.dense(4, 4), nn.batch_norm(4)),
)


def trained(model, x):
    """Parameters and running moments away from their first values."""
    params, state = jax.tree.map(np.asarray, jax.jit(model.init)(KEY))
    noise = lambda leaf: leaf + 0.3 * np.cos(np.arange(leaf.size, dtype=leaf.dtype)).reshape(leaf.shape)
    return jax.tree.map(jnp.asarray, (jax.tree.map(noise, params), jax.tree.map(noise, state)))


def test_folding_keeps_the_outputs_and_removes_every_batch_norm(agrees):
    params, state = trained(NET, X)
    model, folded, carried = nn.fold_batch_norm(NET, params, state, X)
    want, got = jax.jit(NET.apply)(params, state, X)[0], jax.jit(model.apply)(folded, carried, X)[0]
    agrees.values("nn.fold_batch_norm", "the model before", got, want, most=1e-5)
    assert carried == {}
    assert not [path for path in flatten(folded) if "norm" in path]
    assert folded["repeat_0"]["conv"]["bias"].shape == (2, 4)
    assert jax.eval_shape(model.init, KEY)[0].keys() == folded.keys()
    assert pickle.loads(pickle.dumps(model)) == model


def test_a_norm_that_follows_no_product_stays():
    net = nn.serial(nn.batch_norm(3), nn.dense(3, 4), nn.relu, nn.batch_norm(4), nn.dense(4, 2), nn.batch_norm(2))
    x = X.reshape(-1, 3)
    _, folded, carried = nn.fold_batch_norm(net, *trained(net, x), x)
    assert carried.keys() == {"batch_norm_0", "batch_norm_1"}
    assert folded.keys() == {"batch_norm_0", "dense_0", "batch_norm_1", "dense_1"}


@pytest.mark.parametrize(
    "net",
    [
        nn.serial(nn.dense(3, 4), nn.relu, nn.batch_norm(4)),
        nn.parallel(nn.dense(3, 4), nn.batch_norm(3)),
        nn.wire(lambda x, d, n: n(d(x)) + d(x), d=nn.dense(3, 3), n=nn.batch_norm(3)),
        nn.wire(lambda x, d, n: n(d(x)) + n(x), d=nn.dense(3, 3), n=nn.batch_norm(3)),
    ],
    ids=["relu between", "side by side", "product called twice", "norm called twice"],
)
def test_where_nothing_can_be_folded_it_says_so(net):
    x = X.reshape(-1, 3)
    with pytest.raises(TreeError, match=r"nothing to fold in .*: no batch_norm"):
        nn.fold_batch_norm(net, *trained(net, x), x)


def test_a_product_that_is_used_elsewhere_too_is_noticed():
    def leaky(x, d, n):
        h = d(x)
        return n(h) + h

    net = nn.wire(leaky, d=nn.dense(3, 3), n=nn.batch_norm(3))
    x = X.reshape(-1, 3)
    with pytest.raises(ValueError, match="folding changed the output by"):
        nn.fold_batch_norm(net, *trained(net, x), x)


def test_sixteen_bit_weights_are_folded_in_float32():
    net = nn.serial(nn.dense(3, 4), nn.batch_norm(4))
    x = X.reshape(-1, 3)
    params, state = trained(net, x)
    small = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    _, folded, _ = nn.fold_batch_norm(net, small, state, x.astype(jnp.bfloat16))
    _, wanted, _ = nn.fold_batch_norm(net, jax.tree.map(lambda leaf: leaf.astype(jnp.float32), small), state, x)
    for got, want in zip(jax.tree.leaves(folded), jax.tree.leaves(wanted)):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(got.astype(jnp.float32), want, rtol=2**-8)
