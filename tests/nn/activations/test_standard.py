"""The classic activations against scipy and closed forms; what all activations keep is in test_laws.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.nn import activations as act


def elementwise_gradient(f, x):
    return jax.vmap(jax.grad(f))(x)


def test_sigmoid_equals_scipy_and_its_slope_is_at_most_a_quarter():
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-100, 100, 100_001, dtype=np.float32)
    y = np.asarray(act.sigmoid(x), np.float64)
    assert np.abs(y - special.expit(x.astype(np.float64))).max() <= 2e-7
    slope = np.asarray(elementwise_gradient(act.sigmoid, jnp.asarray(x)))
    assert np.isfinite(slope).all()
    assert slope.max() == 0.25
    np.testing.assert_allclose(slope, y * (1 - y), atol=1e-7)


def test_log_sigmoid_and_softplus_at_ten_thousand():
    x = jnp.array([-1e4, 1e4, 0.0])
    np.testing.assert_allclose(act.log_sigmoid(x), [-1e4, 0, -np.log(2)], rtol=1e-7)
    np.testing.assert_allclose(act.softplus(x), [0, 1e4, np.log(2)], rtol=1e-7)
    np.testing.assert_allclose(elementwise_gradient(act.log_sigmoid, x), [1, 0, 0.5], atol=1e-7)


def test_tanh_is_a_stretched_sigmoid():
    x = jnp.linspace(-10, 10, 1001)
    np.testing.assert_allclose(act.tanh(x), 2 * act.sigmoid(2 * x) - 1, atol=3e-7)
    np.testing.assert_allclose(
        elementwise_gradient(act.tanh, x), 1 - np.tanh(np.asarray(x, np.float64)) ** 2, atol=6e-7
    )
    np.testing.assert_allclose(act.tanh(x), np.tanh(np.asarray(x, np.float64)), atol=2e-7)


def test_relu_has_subgradient_zero_at_zero_and_scales():
    x = jnp.array([-2.0, -0.0, 0.0, 3.0])
    np.testing.assert_array_equal(act.relu(x), [0, 0, 0, 3])
    np.testing.assert_array_equal(elementwise_gradient(act.relu, x), [0, 0, 0, 1])
    np.testing.assert_array_equal(act.relu(4 * x), 4 * act.relu(x))


def test_leaky_relu_is_the_maximum_of_the_lecture():
    x = jnp.linspace(-3, 3, 601)
    np.testing.assert_array_equal(act.lecture_leaky_relu(x), np.maximum(np.float32(0.1) * x, x))
    np.testing.assert_array_equal(act.leaky_relu(x), np.maximum(np.float32(0.01) * x, x))
    np.testing.assert_array_equal(act.leaky_relu(x, 0.0), act.relu(x))
    np.testing.assert_allclose(elementwise_gradient(act.leaky_relu, jnp.array([-1.0, 0.0, 1.0])), [0.01, 0.01, 1])


@pytest.mark.parametrize("slope", [1.0, 1.5])
def test_leaky_relu_refuses_slopes_where_the_maximum_is_the_other_branch(slope):
    with pytest.raises(ValueError, match="slope must be below 1"):
        act.leaky_relu(jnp.ones(2), slope)


@pytest.mark.parametrize("alpha", [1.0, 0.3])
def test_elu_is_the_slide_form_and_smooth_only_for_alpha_one(alpha):
    x = np.linspace(-5, 5, 1001)
    with np.errstate(over="ignore"):
        want = np.where(x >= 0, x, alpha * np.expm1(x))
    np.testing.assert_allclose(act.elu(jnp.asarray(x), alpha), want, rtol=1e-5, atol=1e-6)
    left, right = jax.vmap(jax.grad(lambda x: act.elu(x, alpha)))(jnp.array([-1e-6, 0.0]))
    assert right == 1
    assert abs(left - alpha) < 1e-5


def test_softmax_equals_scipy_sums_to_one_and_ignores_a_shift():
    special = pytest.importorskip("scipy.special")
    x = np.random.default_rng(0).normal(0, 5, (64, 10)).astype(np.float32)
    np.testing.assert_allclose(act.softmax(x), special.softmax(x.astype(np.float64), axis=-1), atol=3e-7)
    np.testing.assert_allclose(
        act.log_softmax(x), special.log_softmax(x.astype(np.float64), axis=-1), rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(act.softmax(x, axis=0).sum(0), 1, atol=1e-6)
    shifted = np.round(x * 64) / 64  # so that adding the offset is exact in float32
    np.testing.assert_array_equal(act.softmax(shifted + np.float32(8192)), act.softmax(shifted))


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_softmax_sums_to_one_at_extreme_logits(scale):
    x = scale * jnp.array([[-1.0, 1.0, 0.3, 1.0], [1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, 0.5]])
    np.testing.assert_allclose(act.softmax(x).sum(-1), 1, atol=1e-6)


def test_softmax_jacobian():
    with jax.enable_x64(True):
        x = jnp.array([0.3, -2.0, 1.7, 0.0])
        p = np.exp(x) / np.exp(x).sum()
        np.testing.assert_allclose(jax.jacobian(act.softmax)(x), np.diag(p) - np.outer(p, p), atol=1e-14)


def test_softmax_of_bfloat16_is_the_rounded_float32_one():
    x = jax.random.normal(jax.random.key(0), (4, 1000)).astype(jnp.bfloat16)
    want = act.softmax(x.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(act.softmax(x), want)
