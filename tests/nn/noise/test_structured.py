"""The relatives of dropout: what they remove, and which moments they keep."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

X = jnp.ones((40, 6, 5, 50))
RATES = pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])


def draw(layer, x=X, seed=0):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


def assert_rate(gone, rate):
    """Within five standard errors of independent draws."""
    assert abs(float(np.mean(gone)) - rate) < 5 * (rate * (1 - rate) / gone.size) ** 0.5


def assert_moments(x, mean, std, kurtosis=3.0):
    x = np.asarray(x, np.float64)
    assert abs(x.mean() - mean) < 5 * std / x.size**0.5
    assert abs(x.var() / std**2 - 1) < 5 * ((kurtosis - 1) / x.size) ** 0.5


@RATES
def test_spatial_dropout_removes_whole_channels_of_single_examples(rate):
    y = draw(nn.spatial_dropout(rate))
    assert (y == y[:, :1, :1]).all()
    np.testing.assert_allclose(jnp.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    gone = y[:, 0, 0] == 0
    assert_rate(gone, rate)
    assert (gone != gone[:1]).any()
    assert (gone != gone[:, :1]).any()


@RATES
def test_drop_path_removes_whole_examples(rate):
    y = draw(nn.drop_path(rate), jnp.ones((4000, 2, 3)))
    assert (y == y[:, :1, :1]).all()
    np.testing.assert_allclose(jnp.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)
    assert_rate(y[:, 0, 0] == 0, rate)


def test_drop_path_in_a_residual_leaves_the_shortcut():
    layer = nn.residual(nn.drop_path(0.5))
    y = layer.apply({}, {}, jnp.ones((50, 3)), key=jax.random.key(0), train=True)[0]
    np.testing.assert_array_equal(jnp.unique(y), [1, 3])


@RATES
def test_alpha_dropout_keeps_mean_and_variance_of_standard_input(rate):
    x = jax.random.normal(jax.random.key(1), (400, 500))
    y = draw(nn.alpha_dropout(rate), x)
    assert_moments(y, 0, 1, kurtosis=8)  # at rate 0.8 it is 7.8, at the others less
    values, counts = np.unique(np.asarray(y), return_counts=True)
    dropped = values[counts.argmax()]
    assert_rate(np.asarray(y == dropped), rate)
    kept = y != dropped
    slope = np.polyfit(x[kept], y[kept], 1)
    floor = -1.6732632423543772 * 1.0507009873554805
    np.testing.assert_allclose(dropped, slope[0] * floor + slope[1], rtol=1e-4)


@RATES
def test_gaussian_dropout_multiplies_by_noise_of_the_variance_of_dropout(rate):
    y = draw(nn.gaussian_dropout(rate), jnp.full((400, 500), 3.0))
    assert_moments(y / 3, 1, (rate / (1 - rate)) ** 0.5)


@pytest.mark.parametrize("size", [1, 3])
def test_drop_block_removes_squares_and_keeps_the_sum(size):
    x = jnp.ones((50, 20, 16, 8))
    y = np.asarray(draw(nn.drop_block(0.1, size), x))
    np.testing.assert_allclose(y.sum(), x.size, rtol=1e-5)
    gone = y == 0
    # Overlaps take a little from the rate: with squares of 9 cells, at most a tenth of it.
    assert 0.085 < gone.mean() < 0.103
    windows = np.lib.stride_tricks.sliding_window_view(gone, (size, size), axis=(1, 2)).all((-1, -2))
    covered = np.zeros_like(gone)
    for i in range(size):
        for j in range(size):
            covered[:, i : i + windows.shape[1], j : j + windows.shape[2]] |= windows
    np.testing.assert_array_equal(covered, gone)


def test_drop_block_needs_room_for_its_square():
    for shape in ((2, 3, 2, 4), (2, 9, 4)):
        with pytest.raises(ShapeError, match="with sides of 3 or more"):
            draw(nn.drop_block(0.1, 3), jnp.ones(shape))
    with pytest.raises(ValueError, match="side of a square"):
        nn.drop_block(0.1, 0)


ONE = [nn.spatial_dropout, nn.drop_path, nn.alpha_dropout, nn.gaussian_dropout, lambda rate: nn.drop_block(rate, 2)]


@pytest.mark.parametrize("make", ONE)
def test_evaluation_and_rate_zero_change_nothing_and_impossible_rates_are_refused(make):
    assert make(0.5).apply({}, {}, X)[0] is X
    assert make(0.0).apply({}, {}, X, train=True)[0] is X
    for rate in (-0.1, 1.0):
        with pytest.raises(ValueError, match=r"probability of removal, in \[0, 1\)"):
            make(rate)


@pytest.mark.parametrize("make", ONE)
def test_the_gradient_is_the_factor_on_the_input(make):
    x = jax.random.normal(jax.random.key(2), (4, 6, 5, 3))
    layer = make(0.3)
    slope = jax.grad(lambda x: jnp.sum(draw(layer, x)))(x)
    np.testing.assert_allclose(draw(layer, x) - draw(layer, 0 * x), slope * x, rtol=1e-5, atol=1e-5)


def test_values_given_what_is_gone(agrees):
    x = np.random.default_rng(0).normal(size=(6, 5, 4, 7)).astype(np.float32)
    for name in ("spatial_dropout", "drop_path"):
        y = draw(getattr(nn, name)(0.3), x)
        agrees.values(f"nn.{name}", "closed form, given the mask", y, np.where(y == 0, 0, x / 0.7))
    y = draw(nn.drop_block(0.3, 2), x)
    want = np.where(y == 0, 0, x * (x.size / np.sum(y != 0)))
    agrees.values("nn.drop_block", "closed form, given the mask", y, want)


def test_alpha_dropout_is_that_of_torch_given_the_mask(agrees):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    torch.manual_seed(0)
    theirs = torch.nn.functional.alpha_dropout(torch.tensor(x), 0.4, training=True).numpy()
    ours = draw(nn.alpha_dropout(0.4), x)
    commonest = lambda y: (lambda values, counts: values[counts.argmax()])(*np.unique(y, return_counts=True))
    gone, lost = ours == commonest(ours), theirs == commonest(theirs)
    assert_rate(gone, 0.4)
    both = ~gone & ~lost
    agrees.values("nn.alpha_dropout, kept", "torch", np.where(both, ours, 0), np.where(both, theirs, 0))
    agrees.values("nn.alpha_dropout, dropped", "torch", commonest(ours), commonest(theirs))


def test_gaussian_dropout_has_the_moments_of_its_noise(agrees):
    factor = np.asarray(draw(nn.gaussian_dropout(0.2), jnp.full((400, 500), 2.0)), np.float64) / 2
    moments = np.array([factor.mean(), factor.std(), np.mean((factor - 1) ** 4) ** 0.25])
    agrees.values("nn.gaussian_dropout", "moments of 200,000", moments, np.array([1, 0.5, 0.5 * 3**0.25]), most=0.01)
