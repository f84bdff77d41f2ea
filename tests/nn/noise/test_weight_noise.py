"""Noise on weights: its spread, its place, its freshness, its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import TreeError

KEY = jax.random.key(0)


def drawn(layer, params, x, key=KEY):
    return layer.apply(params, {}, x, key=key, train=True)[0]


def test_the_noise_on_a_kernel_is_normal_and_of_its_size(agrees):
    layer = nn.weight_noise(nn.dense(300, 400), 0.5)
    params, _ = layer.init(KEY)
    noise = np.asarray(drawn(layer, params, jnp.eye(300)) - params["kernel"], np.float64)
    moments = np.array([noise.mean(), noise.std(), np.mean(noise**4) ** 0.25])
    agrees.values("nn.weight_noise", "moments of 120,000", moments, np.array([0, 0.5, 0.5 * 3**0.25]), most=0.01)
    np.testing.assert_array_equal(drawn(layer, params, jnp.zeros((2, 300))), np.zeros((2, 400)))  # none on the bias


def test_every_call_and_every_leaf_draws_its_own():
    def forward(x, part):
        return jnp.stack([part(x), part(x)])

    inner = nn.serial(nn.dense(4, 4, use_bias=False), nn.dense(4, 4, use_bias=False))
    layer = nn.weight_noise(nn.repeat(inner, 2), 0.5, where="*/kernel")
    params = jax.tree.map(jnp.zeros_like, layer.init(KEY)[0])
    params["dense_1"]["kernel"] = jnp.broadcast_to(jnp.eye(4), (2, 4, 4))
    model = nn.wire(forward, part=layer)
    y = drawn(model, {"part": params}, jnp.eye(4))
    assert (y[0] != y[1]).all()
    one = nn.weight_noise(inner, 0.5, where=["dense_0/kernel", "dense_1/kernel"])
    zeros = jax.tree.map(jnp.zeros_like, one.init(KEY)[0])
    first = drawn(one, zeros | {"dense_1": {"kernel": jnp.eye(4)}}, jnp.eye(4))
    second = drawn(one, zeros | {"dense_0": {"kernel": jnp.eye(4)}}, jnp.eye(4))
    assert abs(first - second).max() > 0.1


def test_the_gradient_is_taken_at_the_noisy_weights():
    layer = nn.weight_noise(nn.dense(3, 2), 0.5)
    params, _ = layer.init(KEY)
    x = jax.random.normal(KEY, (4, 3))
    loss = lambda params: 0.5 * jnp.sum(drawn(layer, params, x) ** 2)
    want = x.T @ drawn(layer, params, x)
    np.testing.assert_allclose(jax.grad(loss)(params)["kernel"], want, rtol=1e-5)


def test_evaluation_and_std_zero_are_the_part():
    part = nn.dense(3, 2)
    params, _ = part.init(KEY)
    x = jnp.ones((2, 3))
    want = part.apply(params, {}, x)[0]
    np.testing.assert_array_equal(nn.weight_noise(part, 0.5).apply(params, {}, x)[0], want)
    np.testing.assert_array_equal(nn.weight_noise(part, 0.0).apply(params, {}, x, train=True)[0], want)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="std must be 0 or more"):
        nn.weight_noise(nn.dense(3, 2), -1.0)
    with pytest.raises(TreeError, match="matches nothing"):
        nn.weight_noise(nn.dense(3, 2), 0.5, where="**/table").init(KEY)
