"""Piecewise and smooth activations against torch and closed forms, at ordinary and at bad points."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn.activations import curves

ALL = {
    "relu6": nn.relu6,
    "selu": nn.selu,
    "celu": partial(nn.celu, alpha=0.5),
    "hard_tanh": nn.hard_tanh,
    "hard_sigmoid": nn.hard_sigmoid,
    "hard_silu": nn.hard_silu,
    "soft_sign": nn.soft_sign,
    "mish": nn.mish,
    "squareplus": nn.squareplus,
    "hard_shrink": nn.hard_shrink,
    "soft_shrink": nn.soft_shrink,
    "tanh_shrink": nn.tanh_shrink,
    "threshold": partial(nn.threshold, cut=0.3, value=-2.0),
    "softcap": partial(nn.softcap, cap=3.0),
}
by_name = pytest.mark.parametrize("f", ALL.values(), ids=ALL)
X = np.random.default_rng(0).normal(0, 3, (5, 8))
OUT = np.random.default_rng(1).normal(size=X.shape)


def value_and_gradient(f, x, out):
    with jax.enable_x64(True):
        x, out = jnp.asarray(x), jnp.asarray(out)
        return np.asarray(f(x)), np.asarray(jax.grad(lambda x: jnp.sum(f(x) * out))(x))


@by_name
def test_pickles_and_keeps_shape_and_dtype_under_transforms(f):
    f = pickle.loads(pickle.dumps(f))
    x = jnp.linspace(-3, 3, 12).reshape(3, 4) + 0.013  # off the jumps of hard_shrink and threshold
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


def pairs(torch):
    functional = torch.nn.functional
    return {
        "relu6": functional.relu6,
        "selu": functional.selu,
        "celu": lambda x: functional.celu(x, 0.5),
        "hard_tanh": functional.hardtanh,
        "hard_sigmoid": functional.hardsigmoid,
        "hard_silu": functional.hardswish,
        "soft_sign": functional.softsign,
        "mish": functional.mish,
        "hard_shrink": functional.hardshrink,
        "soft_shrink": functional.softshrink,
        "tanh_shrink": functional.tanhshrink,
        "threshold": lambda x: functional.threshold(x, 0.3, -2.0),
        "softcap": lambda x: 3 * torch.tanh(x / 3),
    }


def gradient_tolerance(f):
    return 1e-7 if f is nn.hard_sigmoid else 1e-10  # torch's gradient holds 1 / 6 in float32


def test_values_and_gradients_equal_torch():
    torch = pytest.importorskip("torch")
    for name, theirs in pairs(torch).items():
        ours = ALL[name]
        leaf = torch.tensor(X, requires_grad=True)
        expected = theirs(leaf)
        (expected * torch.tensor(OUT)).sum().backward()
        value, gradient = value_and_gradient(ours, X, OUT)
        np.testing.assert_allclose(value, expected.detach(), rtol=1e-10, atol=1e-13, err_msg=name)
        np.testing.assert_allclose(gradient, leaf.grad, gradient_tolerance(ours), 1e-13, err_msg=name)


def test_derivatives_where_pieces_meet_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x = np.array([-3.0, -1.0, -0.5, 0.0, 0.3, 0.5, 1.0, 3.0, 6.0])
    for name in ("relu6", "hard_tanh", "hard_sigmoid", "hard_shrink", "soft_shrink", "threshold", "celu", "soft_sign"):
        leaf = torch.tensor(x, requires_grad=True)
        pairs(torch)[name](leaf).sum().backward()
        _, gradient = value_and_gradient(ALL[name], x, np.ones_like(x))
        np.testing.assert_allclose(gradient, leaf.grad, gradient_tolerance(ALL[name]), err_msg=name)


def test_closed_forms_where_torch_rounds_its_constants():
    value, gradient = value_and_gradient(partial(nn.celu, alpha=0.7), X, OUT)
    np.testing.assert_allclose(value, np.where(X >= 0, X, 0.7 * np.expm1(np.minimum(X, 0) / 0.7)), rtol=1e-12)
    np.testing.assert_allclose(gradient, OUT * np.exp(np.minimum(X, 0) / 0.7), rtol=1e-12)
    _, gradient = value_and_gradient(nn.hard_sigmoid, X, OUT)
    np.testing.assert_allclose(gradient, OUT * (np.abs(X) < 3) / 6, rtol=1e-12)


def test_prelu_equals_torch():
    torch = pytest.importorskip("torch")
    slope, x = np.linspace(-0.5, 1.5, 8), X.copy()
    x[0] = 0
    leaf, leaf_slope = torch.tensor(x, requires_grad=True), torch.tensor(slope, requires_grad=True)
    expected = torch.nn.functional.prelu(leaf, leaf_slope)
    (expected * torch.tensor(OUT)).sum().backward()
    with jax.enable_x64(True):
        f = lambda slope, x: nn.prelu(8).apply({"slope": slope}, {}, x)[0]
        args = jnp.asarray(slope), jnp.asarray(x)
        np.testing.assert_allclose(f(*args), expected.detach(), rtol=1e-12)
        grads = jax.grad(lambda *args: jnp.sum(f(*args) * OUT), (0, 1))(*args)
    np.testing.assert_allclose(grads[0], leaf_slope.grad, rtol=1e-12)
    np.testing.assert_allclose(grads[1], leaf.grad, rtol=1e-12)
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
