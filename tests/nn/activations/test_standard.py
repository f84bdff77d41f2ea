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


def ulps(got, want):
    """Errors in units in the last place of float32, where the result is a normal number."""
    normal = np.abs(want) >= np.finfo(np.float32).smallest_normal
    return (np.abs(np.asarray(got, np.float64) - want) / np.spacing(np.abs(want).astype(np.float32)))[normal].max()


def test_sigmoid_and_tanh_are_exact_to_a_few_units_in_the_last_place():
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-100, 100, 100_001, dtype=np.float32)
    assert ulps(act.sigmoid(x), special.expit(x.astype(np.float64))) <= 4
    assert ulps(act.tanh(x), np.tanh(x.astype(np.float64))) <= 6


def test_lecuns_tanh_is_one_at_one_and_bends_most_near_it():
    with jax.enable_x64(True):
        np.testing.assert_allclose(act.lecun_tanh(jnp.array([-1.0, 1.0])), [-1, 1], atol=1e-4)
        x = np.linspace(0, 3, 3001)
        bend = np.abs(jax.vmap(jax.grad(jax.grad(act.lecun_tanh)))(x))
    assert abs(x[bend.argmax()] - 1) < 0.02


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


def test_a_net_of_relus_is_linear_piece_by_piece():
    """The Hessian by the input is 0 where no unit changes sides, and without biases f(a x) = a f(x)."""
    kernels = jax.random.normal(jax.random.key(0), (3, 6, 6))

    def f(x):
        for kernel in kernels:
            x = act.relu(x @ kernel)
        return jnp.sum(x)

    x = jax.random.normal(jax.random.key(1), (20, 6))
    np.testing.assert_array_equal(jax.jit(jax.vmap(jax.hessian(f)))(x), 0)
    np.testing.assert_allclose(jax.vmap(f)(3.7 * x), 3.7 * jax.vmap(f)(x), rtol=1e-5)
    assert jnp.abs(jax.vmap(jax.grad(f))(x)).max() > 1


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


def test_elu_bends_as_its_differences_say():
    with jax.enable_x64(True):
        x, h = jnp.array([-5.0, -1.0, -0.1, 0.1, 2.0]), 1e-4
        bend = jax.vmap(jax.grad(jax.grad(act.elu)))(x)
        np.testing.assert_allclose(bend, (act.elu(x + h) + act.elu(x - h) - 2 * act.elu(x)) / h**2, atol=1e-6)
        np.testing.assert_allclose(bend, jnp.where(x < 0, jnp.exp(x), 0), rtol=1e-12)


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


def test_softmax_is_the_formula_of_the_slide():
    a, b, c = jnp.array([[0.3, -2.0], [1.7, 0.0], [-0.4, 5.0]])
    want = jnp.exp(a) / (jnp.exp(a) + jnp.exp(b) + jnp.exp(c))
    np.testing.assert_allclose(act.softmax(jnp.stack([a, b, c]), axis=0)[0], want, rtol=1e-6)


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
