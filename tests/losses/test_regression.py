"""Losses of numbers against torch and sklearn, their corners and digits; no broadcast."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError
from fdl.losses import absolute_error, huber, squared_error

RNG = np.random.default_rng(0)
X, T = RNG.gamma(2.0, size=(2, 6, 4))
X.flat[:3], T.flat[:3] = (1e-2, 30.0, 0.5), (0.0, 1e-3, 0.25)
ERRORS = np.array([[-3.0, -1.0, -0.2], [0.0, 0.7, 1.0], [2.5, 1e3, -1e3]])
TORCH = {
    "squared_error": lambda f: f.mse_loss,
    "absolute_error": lambda f: f.l1_loss,
    "huber": lambda f: partial(f.huber_loss, delta=0.3),
    "smooth_l1": lambda f: partial(f.smooth_l1_loss, beta=0.2),
}
OURS = {"huber": partial(huber, delta=0.3), "smooth_l1": partial(losses.smooth_l1, beta=0.2)}


@pytest.mark.parametrize("name", TORCH)
def test_equal_torch(agrees, name):
    torch = pytest.importorskip("torch")
    theirs = partial(TORCH[name](torch.nn.functional), reduction="none")
    agrees.torch(f"losses.{name}", OURS.get(name, getattr(losses, name)), theirs, ERRORS, np.full_like(ERRORS, 0.5))


def test_gradients_where_pieces_meet():
    gradient = lambda loss, x: jax.grad(loss)(x, 0.0)
    assert gradient(squared_error, 3.0) == 6
    assert gradient(absolute_error, 0.0) == 0
    for error in (-1.0, 0.0, 1.0, 5.0, -5.0):
        assert gradient(huber, error) == np.clip(error, -1, 1)
    assert jnp.isfinite(gradient(huber, 1e30))


@pytest.mark.parametrize("loss", [squared_error, absolute_error, huber], ids=lambda f: f.__name__)
def test_a_column_against_a_row_is_refused(loss):
    with pytest.raises(ShapeError, match=r"drop the last axis of length 1: prediction\[..., 0\]"):
        jax.jit(loss)(jnp.zeros((4, 1)), jnp.zeros(4))
    with pytest.raises(ShapeError, match=r"drop the last axis of length 1: target\[..., 0\]"):
        loss(jnp.zeros(4), jnp.zeros((4, 1)))
    with pytest.raises(ShapeError, match="it must be that of prediction"):
        loss(jnp.zeros((4, 2)), jnp.zeros((4, 3)))
    with pytest.raises(DtypeError, match="target must be floating point, got int32"):
        loss(jnp.zeros(4), jnp.zeros(4, int))
    with pytest.raises(DtypeError, match="where must be boolean"):
        loss(jnp.zeros(4), jnp.zeros(4), where=jnp.zeros(4))


@pytest.mark.parametrize("delta", [0.0, -1.0, float("inf")])
def test_huber_refuses_a_limit_that_is_none(delta):
    with pytest.raises(ValueError, match="delta must be positive and finite"):
        huber(jnp.zeros(2), jnp.zeros(2), delta=delta)


def test_log_cosh_equals_torch_and_keeps_the_digits_of_small_errors(agrees):
    torch = pytest.importorskip("torch")
    away = np.where(np.abs(X - T) < 1e-2, 2.0, X)  # torch.log(torch.cosh()) itself loses digits near 0
    agrees.torch("losses.log_cosh", losses.log_cosh, lambda x, t: torch.log(torch.cosh(x - t)), away, T)
    for error in (1e-30, 1e-12, 1e-3, 0.999999, 1.000001, 1e30):
        value, slope = jax.value_and_grad(losses.log_cosh)(error, 0.0)
        want = error**2 / 2 if error < 0.01 else error - np.log(2) + np.log1p(np.exp(-2 * error))
        assert value == pytest.approx(want, rel=2e-6, abs=0)
        assert slope == pytest.approx(np.tanh(error), rel=1e-6, abs=0)


def test_errors_of_ratios_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    target = np.where(T < 0.1, 0.1, T) * RNG.choice([-1, 1], T.shape)
    percentage = lambda x, t: 100 * ((x - t) / t).abs()
    agrees.torch("losses.absolute_percentage_error", losses.absolute_percentage_error, percentage, X, target)
    ratio = lambda x, t: (torch.log1p(x) - torch.log1p(t)) ** 2
    agrees.torch("losses.squared_log_error", losses.squared_log_error, ratio, X, T)
    assert losses.absolute_percentage_error(1.0, 0.0, epsilon=0.1) == pytest.approx(1000)
    assert jnp.isnan(losses.squared_log_error(-1.5, 0.0))


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
def test_quantile_equals_sklearn_and_its_minimum_is_the_quantile(agrees, level):
    sklearn = pytest.importorskip("sklearn.metrics")
    with jax.enable_x64(True):
        mean = losses.quantile(X.ravel(), T.ravel(), level=level).mean()
    agrees.values("losses.quantile", "sklearn", mean, sklearn.mean_pinball_loss(T.ravel(), X.ravel(), alpha=level))
    slope = jax.grad(lambda x: losses.quantile(jnp.full(11, x), jnp.arange(11.0), level=level).sum())
    cut = np.quantile(np.arange(11.0), level)
    assert slope(cut - 0.6) < 0 < slope(cut + 0.6)
    assert jax.grad(lambda x: losses.quantile(x, 1.0, level=level))(1.0) == 0


def test_refuse_numbers_that_make_no_loss():
    x = jnp.zeros(2)
    with pytest.raises(ValueError, match="beta must be positive"):
        losses.smooth_l1(x, x, beta=0.0)
    with pytest.raises(ValueError, match="level must lie between"):
        losses.quantile(x, x, level=90)
