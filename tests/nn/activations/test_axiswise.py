"""Gates, sparse distributions and unit vectors at special points; what all activations keep is in test_laws.py."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

X = np.random.default_rng(0).normal(0, 3, (6, 8))
OUT = np.random.default_rng(1).normal(size=X.shape)


def value_and_gradient(f, x, out):
    with jax.enable_x64(True):
        x, out = jnp.asarray(x), jnp.asarray(out)
        return np.asarray(f(x)), np.asarray(jax.grad(lambda x: jnp.sum(f(x) * out))(x))


@pytest.mark.parametrize("axis", [0, -1])
def test_glu_is_that_of_torch(axis, agrees):
    torch = pytest.importorskip("torch")
    agrees.torch("nn.glu", partial(nn.glu, axis=axis), partial(torch.nn.functional.glu, dim=axis), X)


def nearest_distribution(x):
    """By bisection on what to subtract: another way than sorting."""
    low, high = x.min() - 1, x.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(x - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(x - high, 0)


@pytest.mark.parametrize("scale", [0.05, 1.0, 1e4])
def test_sparsemax_is_the_nearest_distribution(scale):
    x = scale * X
    value, gradient = value_and_gradient(nn.sparsemax, x, OUT)
    want = np.array([nearest_distribution(row) for row in x])
    np.testing.assert_allclose(value, want, atol=1e-14 + 1e-15 * scale)
    np.testing.assert_allclose(value.sum(-1), 1, rtol=1e-12)
    support = want > 0
    mean = (OUT * support).sum(-1, keepdims=True) / support.sum(-1, keepdims=True)
    np.testing.assert_allclose(gradient, support * (OUT - mean), rtol=1e-10, atol=1e-13)
    assert scale < 1 or (value == 0).any()


def test_sparsemax_takes_an_axis_ties_and_a_shift():
    x = jnp.asarray(X, jnp.float32)
    np.testing.assert_allclose(nn.sparsemax(x, axis=0), nn.sparsemax(x.T).T, atol=1e-6)
    np.testing.assert_allclose(nn.sparsemax(jnp.full((4,), 7.0)), [0.25] * 4)
    np.testing.assert_allclose(nn.sparsemax(jnp.array([2.0, -jnp.inf, 1.5])), [0.75, 0, 0.25])


def test_unit_at_zero_and_beyond_the_range_of_squares():
    x = jnp.array([[0.0, 0.0], [3e30, 4e30], [3e-30, -4e-30], [0.0, 5.0]])
    np.testing.assert_allclose(nn.unit(x), [[0, 0], [0.6, 0.8], [0.6, -0.8], [0, 1]], rtol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(nn.unit(x) * jnp.array([[1.0, 2.0]] * 4)))(x)
    assert jnp.isfinite(slope).all()
    np.testing.assert_array_equal(slope[0], [0, 0])
    np.testing.assert_allclose(jnp.sum(jnp.square(nn.unit(jnp.ones((2, 3, 4)), axis=(0, 2))), (0, 2)), 1, rtol=1e-6)


def test_an_odd_axis_cannot_be_halved():
    with pytest.raises(ShapeError, match=r"even size to be halved, got shape \(2, 3\)"):
        nn.glu(jnp.ones((2, 3)))
