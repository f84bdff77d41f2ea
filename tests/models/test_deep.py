"""Blocks against NumPy by hand: what passes unchanged, and how large the kernels are drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models, nn

X = np.random.default_rng(0).normal(size=(6, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_blocks_are_those_of_numpy(agrees):
    with jax.enable_x64(True):
        for block, by_hand in {
            models.plain_block(4): lambda p: np.tanh(X @ p["dense_0"]["kernel"] + p["dense_0"]["bias"]),
            models.residual_block(4): lambda p: X + np.tanh(X @ p["dense_0"]["kernel"] + p["dense_0"]["bias"]),
            models.highway_block(4, gate_bias=-1): highway,
        }.items():
            params, state = block.init(jax.random.key(0))
            params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)
            got, _ = block.apply(params, state, jnp.asarray(X))
            agrees.values(f"models.{block.kind}", "numpy", got, by_hand(jax.tree.map(np.asarray, params)), most=1e-12)


def highway(p):
    h = np.tanh(X @ p["transform"]["dense_0"]["kernel"] + p["transform"]["dense_0"]["bias"])
    t = sigmoid(X @ p["gate"]["dense_0"]["kernel"] + p["gate"]["dense_0"]["bias"])
    return h * t + X * (1 - t)


def test_a_closed_highway_is_the_identity_and_a_normalised_block_has_moments_0_and_1_within():
    x = jnp.asarray(X, jnp.float32)
    closed = models.highway_block(4, gate_bias=-200.0)
    np.testing.assert_array_equal(closed.apply(*closed.init(jax.random.key(0)), x)[0], x)
    block = models.normalised_block(4)
    y, _ = block.apply(*block.init(jax.random.key(0)), x, train=True)
    within = np.arctanh(np.asarray(y, np.float64))
    np.testing.assert_allclose([within.mean(0), within.std(0)], [np.zeros(4), np.ones(4)], atol=1e-3)


@pytest.mark.parametrize("block", [models.plain_block, models.residual_block, models.highway_block])
def test_kernels_are_uniform_within_one_over_root_n(block):
    params, _ = block(100).init(jax.random.key(0))
    kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
    for kernel in kernels:
        assert 0.0995 < abs(kernel).max() <= 0.1
        assert float(kernel.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)


def test_a_deep_classifier_has_the_depth_asked_for():
    model = models.deep_classifier(models.plain_block(5), 7, 5, 30, 3)
    params, state = model.init(jax.random.key(0))
    assert params["blocks"]["block"]["dense_0"]["kernel"].shape == (30, 5, 5)
    assert model.apply(params, state, jnp.ones((2, 7)))[0].shape == (2, 3)
    assert isinstance(model, nn.Layer)
