"""Gates, sparse distributions and unit vectors against torch, bisection and closed forms."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

by_name = pytest.mark.parametrize("f", [nn.softmin, nn.sparsemax, nn.unit], ids=lambda f: f.__name__)
X = np.random.default_rng(0).normal(0, 3, (6, 8))
OUT = np.random.default_rng(1).normal(size=X.shape)


def value_and_gradient(f, x, out):
    with jax.enable_x64(True):
        x, out = jnp.asarray(x), jnp.asarray(out)
        return np.asarray(f(x)), np.asarray(jax.grad(lambda x: jnp.sum(f(x) * out))(x))


@by_name
def test_keeps_shape_and_dtype_under_transforms(f):
    x = jnp.linspace(-3, 3, 12).reshape(3, 4) + 0.013
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(x), f(x), rtol=1e-6, atol=1e-6)
    for dtype in ("bfloat16", "float16"):
        y = jax.jit(f)(x.astype(dtype))
        assert (y.shape, y.dtype) == (x.shape, dtype)
        np.testing.assert_allclose(y.astype(jnp.float32), f(x), rtol=2e-2, atol=2e-2)


@by_name
def test_values_and_two_derivatives_are_finite_at_extremes(f):
    x = jnp.array([-1e4, -100.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 3.0, 6.0, 100.0, 1e4])
    gradient = jax.grad(lambda x: f(x).sum())
    both = jax.jit(lambda x: (f(x), *jax.jvp(gradient, (x,), (jnp.ones_like(x),))))
    assert all(np.isfinite(y).all() for y in both(x))


@by_name
def test_nan_stays_visible(f):
    assert jnp.isnan(f(jnp.array([jnp.nan, 1.0]))[0])


@pytest.mark.parametrize("axis", [0, -1])
def test_values_and_gradients_equal_torch(axis):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    half = OUT[:3] if axis == 0 else OUT[:, :4]
    compared = [
        (nn.glu, functional.glu, half),
        (nn.softmin, functional.softmin, OUT),
        (nn.unit, functional.normalize, OUT),
    ]
    for ours, theirs, out in compared:
        leaf = torch.tensor(X, requires_grad=True)
        expected = theirs(leaf, dim=axis)
        (expected * torch.tensor(out)).sum().backward()
        value, gradient = value_and_gradient(partial(ours, axis=axis), X, out)
        np.testing.assert_allclose(value, expected.detach(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-10, atol=1e-13)


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
