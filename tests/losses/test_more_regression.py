"""The further losses of numbers against torch and scipy in float64: values, gradients, corners, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
X, T = RNG.gamma(2.0, size=(2, 6, 4))
LOG_VAR = RNG.normal(size=(6, 4))
X.flat[:3], T.flat[:3] = (1e-6, 30.0, 0.5), (0.0, 1e-3, 0.5 + 1e-9)
COUNTS = RNG.poisson(3.0, (6, 4)).astype(float)
LOSSES = [
    losses.log_cosh,
    losses.smooth_l1,
    losses.absolute_percentage_error,
    losses.squared_log_error,
    lambda x, t, **where: losses.quantile(x, t, level=0.3, **where),
    losses.poisson_nll,
    lambda x, t, **where: losses.gaussian_nll(x, t, jnp.zeros_like(x), **where),
]
NAMES = ["log_cosh", "smooth_l1", "percentage", "log_error", "quantile", "poisson", "gaussian"]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=NAMES)


def assert_equal(ours, theirs, *arrays, rtol=1e-11):
    """Values and the gradients for every argument equal torch's."""
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    want = theirs(*leaves)
    want.sum().backward()
    with jax.enable_x64(True):
        args = [jnp.asarray(a) for a in arrays]
        value = jax.jit(ours)(*args)
        gradients = jax.jit(jax.grad(lambda *a: ours(*a).sum(), range(len(args))))(*args)
    assert value.shape == tuple(want.shape)
    np.testing.assert_allclose(value, want.detach(), rtol=rtol)
    for gradient, leaf in zip(gradients, leaves):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=rtol, atol=1e-14)


def test_log_cosh_equals_torch_and_keeps_the_digits_of_small_errors():
    torch = pytest.importorskip("torch")
    away = np.where(np.abs(X - T) < 1e-2, 2.0, X)  # torch.log(torch.cosh()) itself loses digits near 0
    assert_equal(losses.log_cosh, lambda x, t: torch.log(torch.cosh(x - t)), away, T, rtol=1e-10)
    for error in (1e-30, 1e-12, 1e-3, 0.999999, 1.000001, 1e30):
        value, slope = jax.value_and_grad(losses.log_cosh)(error, 0.0)
        want = error**2 / 2 if error < 0.01 else error - np.log(2) + np.log1p(np.exp(-2 * error))
        assert value == pytest.approx(want, rel=2e-6, abs=0)
        assert slope == pytest.approx(np.tanh(error), rel=1e-6, abs=0)


@pytest.mark.parametrize("beta", [1.0, 0.2])
def test_smooth_l1_equals_torch(beta):
    torch = pytest.importorskip("torch")
    theirs = lambda x, t: torch.nn.functional.smooth_l1_loss(x, t, beta=beta, reduction="none")
    assert_equal(lambda x, t: losses.smooth_l1(x, t, beta=beta), theirs, X, T)


def test_errors_of_ratios_equal_their_definitions():
    torch = pytest.importorskip("torch")
    target = np.where(T < 0.1, 0.1, T) * RNG.choice([-1, 1], T.shape)
    assert_equal(losses.absolute_percentage_error, lambda x, t: 100 * ((x - t) / t).abs(), X, target, rtol=1e-10)
    # not the first row: where x is all but t, two logarithms cancel on both sides
    assert_equal(losses.squared_log_error, lambda x, t: (torch.log1p(x) - torch.log1p(t)) ** 2, X[1:], T[1:])
    assert losses.absolute_percentage_error(1.0, 0.0, epsilon=0.1) == pytest.approx(1000)
    assert jnp.isnan(losses.squared_log_error(-1.5, 0.0))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantile_equals_sklearn_and_its_minimum_is_the_quantile(level):
    sklearn = pytest.importorskip("sklearn.metrics")
    with jax.enable_x64(True):
        mean = losses.quantile(X.ravel(), T.ravel(), level=level).mean()
        assert mean == pytest.approx(sklearn.mean_pinball_loss(T.ravel(), X.ravel(), alpha=level), rel=1e-13)
    slope = jax.grad(lambda x: losses.quantile(jnp.full(11, x), jnp.arange(11.0), level=level).sum())
    cut = np.quantile(np.arange(11.0), level)
    assert slope(cut - 0.6) < 0 < slope(cut + 0.6)
    assert jax.grad(lambda x: losses.quantile(x, 1.0, level=level))(1.0) == 0


@pytest.mark.parametrize("full", [False, True])
def test_likelihoods_equal_torch_and_scipy(full):
    torch = pytest.importorskip("torch")
    stats = pytest.importorskip("scipy.stats")
    log_rate = np.log(X)
    poisson = lambda x, t: torch.exp(x) - t * x + (torch.lgamma(t + 1) if full else 0)
    assert_equal(lambda x, t: losses.poisson_nll(x, t, full=full), poisson, log_rate, COUNTS)
    gaussian = lambda m, t, v: torch.nn.functional.gaussian_nll_loss(m, t, v.exp(), full=full, reduction="none")
    assert_equal(lambda *a: losses.gaussian_nll(*a, full=full), gaussian, X, T, LOG_VAR)
    if full:
        with jax.enable_x64(True):
            counts, normal = (
                losses.poisson_nll(log_rate, COUNTS, full=True),
                losses.gaussian_nll(X, T, LOG_VAR, full=True),
            )
        np.testing.assert_allclose(counts, -stats.poisson.logpmf(COUNTS, X), rtol=1e-11)
        np.testing.assert_allclose(normal, -stats.norm.logpdf(T, X, np.exp(LOG_VAR / 2)), rtol=1e-11)


def test_no_events_at_rate_zero_cost_nothing():
    value, slope = jax.value_and_grad(losses.poisson_nll)(-jnp.inf, 0.0)
    assert (value, slope) == (0, 0)
    assert losses.poisson_nll(-jnp.inf, 1.0) == jnp.inf


@each_loss
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -5.0])
def test_where_leaves_out_whatever_is_there(loss, bad):
    keep = jnp.array([True, False, True])
    x, t = jnp.array([1.0, bad, 3.0]), jnp.array([0.5, bad, 2.0])
    clean = lambda a: jnp.where(keep, a, 1.0)
    masked = lambda x: loss(x, t, where=keep)
    np.testing.assert_allclose(masked(x), jnp.where(keep, loss(clean(x), clean(t)), 0), rtol=1e-6)
    gradient = jax.grad(lambda x: masked(x).sum())(x)
    np.testing.assert_allclose(gradient, jnp.where(keep, jax.grad(lambda x: loss(x, clean(t)).sum())(clean(x)), 0))


@each_loss
def test_elementwise_in_float32_of_one_shape(loss):
    x, t = jnp.asarray(X, jnp.bfloat16), jnp.asarray(T, jnp.bfloat16)
    assert (loss(x, t).shape, loss(x, t).dtype) == (X.shape, jnp.float32)
    np.testing.assert_allclose(loss(x, t), loss(x.astype(jnp.float32), t.astype(jnp.float32)), rtol=1e-6)
    with pytest.raises(ShapeError, match="drop the last axis of length 1"):
        loss(jnp.zeros((4, 1)), jnp.zeros(4))
    with pytest.raises(ShapeError, match="where must have shape"):
        loss(jnp.zeros((4, 1)), jnp.zeros((4, 1)), where=jnp.ones(4, bool))


def test_refuse_numbers_that_make_no_loss():
    x = jnp.zeros(2)
    with pytest.raises(ValueError, match="beta must be positive"):
        losses.smooth_l1(x, x, beta=0.0)
    with pytest.raises(ValueError, match="level must lie between"):
        losses.quantile(x, x, level=90)
    with pytest.raises(ShapeError, match="log_var must have shape"):
        losses.gaussian_nll(x, x, jnp.zeros(()))
