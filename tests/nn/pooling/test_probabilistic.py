"""Probabilistic max pooling against softmax over each block and a zero."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

RANDOM = np.random.default_rng(0)


def test_each_block_is_a_softmax_with_a_zero(agrees):
    special = pytest.importorskip("scipy.special")
    x = RANDOM.normal(size=(2, 4, 9, 3))
    hidden, pooled = np.zeros_like(x), np.zeros((2, 2, 3, 3))
    for n, row, column, channel in itertools.product(*map(range, pooled.shape)):
        block = n, slice(2 * row, 2 * row + 2), slice(3 * column, 3 * column + 3), channel
        on = special.softmax(np.append(x[block].ravel(), 0.0))
        hidden[block] = on[:-1].reshape(2, 3)
        pooled[n, row, column, channel] = 1 - on[-1]
    with jax.enable_x64(True):
        ours = nn.probabilistic_max_pool(jnp.asarray(x), (2, 3))
    agrees.values("nn.probabilistic_max_pool", "scipy", ours, (hidden, pooled))


def test_gradients_are_those_of_torch(agrees):
    pytest.importorskip("torch")

    def theirs(x):
        blocks = x.reshape(2, 3, 2, 4)
        total = 1 + blocks.exp().sum(2)
        return (blocks.exp() / total[:, :, None]).reshape(x.shape), 1 - 1 / total

    agrees.torch(
        "nn.probabilistic_max_pool", lambda x: nn.probabilistic_max_pool(x, 2), theirs, RANDOM.normal(size=(2, 6, 4))
    )


def test_large_inputs_are_safe():
    x = jnp.asarray([[1e4, -1e4, 1e4, 1e4, -1e4, -1e4]]).reshape(1, 6, 1)
    hidden, pooled = nn.probabilistic_max_pool(x, 2)
    np.testing.assert_allclose(hidden[0, :, 0], [1, 0, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(pooled[0, :, 0], [1, 1, 0])
    assert jnp.isfinite(jax.grad(lambda x: nn.probabilistic_max_pool(x, 2)[0].sum())(x)).all()


def test_samples_have_at_most_one_unit_on_and_the_expected_frequencies(agrees):
    x = jnp.asarray(RANDOM.normal(size=(1, 4, 3, 2)), jnp.float32)
    keys = jax.random.split(jax.random.key(0), 20_000)
    hidden, pooled = jax.jit(jax.vmap(lambda key: nn.sample_probabilistic_max_pool(key, x, (2, 3))))(keys)
    assert set(np.unique(hidden)) == {0, 1}
    np.testing.assert_array_equal(pooled, np.asarray(hidden).reshape(-1, 1, 2, 2, 1, 3, 2).sum((3, 5)))
    assert set(np.unique(pooled)) == {0, 1}
    frequencies = jax.tree.map(lambda drawn: drawn.mean(0), (hidden, pooled))
    expected = nn.probabilistic_max_pool(x, (2, 3))
    agrees.values("nn.sample_probabilistic_max_pool", "expectation", frequencies, expected, most=0.02)


def test_types_stay():
    x = jnp.ones((1, 4, 2), jnp.bfloat16)
    drawn = nn.sample_probabilistic_max_pool(jax.random.key(0), x, 2)
    assert {a.dtype for a in (*nn.probabilistic_max_pool(x, 2), *drawn)} == {jnp.dtype(jnp.bfloat16)}


def test_a_window_that_does_not_divide_space_is_an_error():
    with pytest.raises(ShapeError, match="must divide space"):
        nn.probabilistic_max_pool(jnp.ones((1, 5, 4, 1)), 2)
