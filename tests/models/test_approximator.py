"""The net that is written down meets its bound on five functions; squares, however many, are a parabola."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.history.approximation import SMOOTH
from fdl import models, nn

WIDTHS = (8, 32, 128)


def error_of(function, low, high, width):
    x = np.linspace(low, high, 40 * width + 1)
    said = models.shallow_net(width).apply(models.interpolant(function, low, high, width), {}, x[:, None])[0][:, 0]
    return np.abs(said - function(x))


@pytest.mark.parametrize("name", SMOOTH)
def test_the_error_is_within_its_bound_and_falls_with_the_square_of_the_width(name):
    function, (low, high), curvature = SMOOTH[name]
    grid = np.linspace(low, high, 20001)
    second = np.diff(function(grid), 2) / (grid[1] - grid[0]) ** 2
    assert np.abs(second).max() == pytest.approx(curvature, rel=1e-3)  # the curvature that is stated is the true one
    with jax.enable_x64(True):
        errors = [error_of(function, low, high, width) for width in WIDTHS]
    for width, error in zip(WIDTHS, errors):
        assert error.max() <= models.interpolation_bound(curvature, low, high, width) * (1 + 1e-9)
        assert error[::40].max() < 1e-12  # exact at its own points
    slope = np.polyfit(np.log(WIDTHS), np.log([error.max() for error in errors]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.1)


def test_of_a_parabola_the_bound_is_the_error():
    with jax.enable_x64(True):
        error = error_of(np.square, -1, 3, 16)
    assert error.max() == pytest.approx(models.interpolation_bound(2.0, -1, 3, 16))


def test_in_float32_it_is_exact_to_rounding():
    assert error_of(np.sin, 0, 3, 64).max() < models.interpolation_bound(1.0, 0, 3, 64) + 1e-5


@pytest.mark.parametrize("width", [4, 30, 200])
def test_with_the_best_output_weights_relus_meet_a_kink_and_squares_never_do(width):
    """Squares of any width are a parabola, and none is nearer to |x| on -1 … 1 than 1/8 (Chebyshev)."""
    x = np.linspace(-1, 1, 401)[:, None]
    errors = {}
    with jax.enable_x64(True):
        for activation in (nn.relu, jnp.square):
            net = models.shallow_net(width, activation)
            params = jax.tree.map(lambda leaf: leaf.astype(float), net.init(jax.random.key(width))[0])
            hidden = np.asarray(activation(x @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]))
            features = np.concatenate([hidden, np.ones_like(x)], 1)
            best = np.linalg.lstsq(features, np.abs(x))[0]
            params["out"] = {"kernel": jnp.asarray(best[:-1]), "bias": jnp.asarray(best[-1])}
            errors[activation] = np.abs(net.apply(params, {}, x)[0] - np.abs(x)).max()
    assert errors[jnp.square] >= 0.125
    assert width == 4 or errors[nn.relu] < 0.1
    assert np.abs(x**2 + 1 / 8 - np.abs(x)).max() == pytest.approx(0.125)  # the best parabola


def test_two_corners_are_a_kink():
    with jax.enable_x64(True):
        assert error_of(np.abs, -1, 1, 2).max() < 1e-12


def test_mistakes_say_what_to_do():
    with pytest.raises(ValueError, match="low must be below high"):
        models.interpolant(np.sin, 1.0, 1.0, 4)
