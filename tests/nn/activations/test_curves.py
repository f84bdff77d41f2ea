"""Piecewise and smooth activations against closed forms; what all activations keep is in test_laws.py."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn.activations import curves

X = np.random.default_rng(0).normal(0, 3, (5, 8))
OUT = np.random.default_rng(1).normal(size=X.shape)


def value_and_gradient(f, x, out):
    with jax.enable_x64(True):
        x, out = jnp.asarray(x), jnp.asarray(out)
        return np.asarray(f(x)), np.asarray(jax.grad(lambda x: jnp.sum(f(x) * out))(x))


def test_closed_forms_where_torch_rounds_its_constants():
    value, gradient = value_and_gradient(partial(nn.celu, alpha=0.7), X, OUT)
    np.testing.assert_allclose(value, np.where(X >= 0, X, 0.7 * np.expm1(np.minimum(X, 0) / 0.7)), rtol=1e-12)
    np.testing.assert_allclose(gradient, OUT * np.exp(np.minimum(X, 0) / 0.7), rtol=1e-12)
    _, gradient = value_and_gradient(nn.hard_sigmoid, X, OUT)
    np.testing.assert_allclose(gradient, OUT * (np.abs(X) < 3) / 6, rtol=1e-12)


def test_prelu_is_that_of_torch(agrees):
    torch = pytest.importorskip("torch")
    slope, x = np.linspace(-0.5, 1.5, 8), X.copy()
    x[0] = 0
    ours = lambda slope, x: nn.prelu(8).apply({"slope": slope}, {}, x)[0]
    agrees.torch("nn.prelu", ours, lambda slope, x: torch.nn.functional.prelu(x, slope), slope, x)
    np.testing.assert_array_equal(nn.prelu(2).init(jax.random.key(0))[0]["slope"], [0.25, 0.25])


def test_selu_keeps_standard_moments():
    x = np.linspace(-12, 12, 1_000_001)
    density = np.exp(-(x**2) / 2) / np.exp(-(x**2) / 2).sum()
    with jax.enable_x64(True):
        y = np.asarray(nn.selu(jnp.asarray(x)))
    np.testing.assert_allclose([(y * density).sum(), (y**2 * density).sum()], [0, 1], atol=1e-8)
    assert nn.selu(jnp.float32(-50.0)) == pytest.approx(-curves.SELU_SCALE * curves.SELU_ALPHA)


def test_squareplus_is_its_formula_without_cancellation():
    x = np.linspace(-1e3, 1e3, 999)
    value, gradient = value_and_gradient(nn.squareplus, x, np.ones_like(x))
    wide = x.astype(np.longdouble)
    root = np.sqrt(wide**2 + 4)
    np.testing.assert_allclose(value, (wide + root) / 2, rtol=1e-12)
    np.testing.assert_allclose(gradient, (1 + wide / root) / 2, rtol=1e-10, atol=1e-15)
    assert nn.squareplus(jnp.float32(-1e4)) == pytest.approx(1e-4, rel=1e-6)


def test_log1mexp_is_that_of_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch("nn.log1mexp", nn.log1mexp, lambda x: torch.log(-torch.expm1(-x)), np.linspace(0.05, 4, 40))


def test_log1mexp_is_exact_for_small_and_large_arguments():
    x = np.array([1e-12, 1e-5, 0.1, np.log(2), 0.7, 3.0, 40.0, 300.0])
    value, gradient = value_and_gradient(nn.log1mexp, x, np.ones_like(x))
    series = [np.log(x[0]) - x[0] / 2, np.log(x[1]) - x[1] / 2]  # the next term is x² / 24
    np.testing.assert_allclose(value[:2], series, rtol=1e-12)
    np.testing.assert_allclose(value[2:6], np.log(1 - np.exp(-x[2:6])), rtol=1e-12)
    np.testing.assert_allclose(value[6:], -np.exp(-x[6:]), rtol=1e-12)
    np.testing.assert_allclose(gradient, 1 / np.expm1(x), rtol=1e-10)
    assert nn.log1mexp(jnp.float32(0)) == -jnp.inf
    assert jnp.isnan(nn.log1mexp(jnp.array([-1.0, jnp.nan]))).all()
    slope = jax.vmap(jax.grad(nn.log1mexp))(jnp.array([1e-30, 1e-8, 80.0, 1e4]))
    np.testing.assert_allclose(slope, [1e30, 1e8, np.exp(-80.0), 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (partial(nn.celu, alpha=0.0), "alpha must be positive"),
        (partial(nn.squareplus, b=0.0), "b must be positive"),
        (partial(nn.softcap, cap=0.0), "cap must be positive"),
        (partial(nn.hard_tanh, low=1.0), "low must be below high"),
        (partial(nn.hard_shrink, cut=-1.0), "cut is a distance"),
        (partial(nn.soft_shrink, cut=-1.0), "cut is a distance"),
    ],
)
def test_impossible_constants_are_refused(f, message):
    with pytest.raises(ValueError, match=message):
        f(jnp.ones(2))
