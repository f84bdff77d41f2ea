"""Dropout and Gaussian noise: their distributions, their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn

X = jnp.ones((400, 500))


def draw(layer, seed=0, x=X):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_removes_at_its_rate_and_keeps_the_mean(rate):
    y = draw(nn.dropout(rate))
    sigma = (rate * (1 - rate) / X.size) ** 0.5
    assert abs(float((y == 0).mean()) - rate) < 5 * sigma
    assert abs(float(y.mean()) - 1) < 5 * sigma / (1 - rate)
    np.testing.assert_allclose(jnp.unique(y), [0, 1 / (1 - rate)], rtol=1e-6)


def test_what_dropout_keeps_it_scales(agrees):
    x = jax.random.normal(jax.random.key(1), (20, 30))
    y = draw(nn.dropout(0.3), x=x)
    agrees.values("nn.dropout", "closed form, given the mask", y, np.where(y == 0, 0, np.asarray(x) / 0.7))


def test_gaussian_noise_has_its_spread(agrees):
    noise = draw(nn.gaussian_noise(0.3)) - X
    moments = np.array([np.mean(noise), np.mean(noise**2) ** 0.5, np.mean(noise**4) ** 0.25])
    agrees.values("nn.gaussian_noise", "moments of 200,000", moments, np.array([0, 0.3, 0.3 * 3**0.25]), most=0.01)
    assert abs(float(noise.std()) - 0.3) < 5 * 0.3 / (2 * X.size) ** 0.5
    assert abs(float(noise.mean())) < 5 * 0.3 / X.size**0.5


@pytest.mark.parametrize("layer", [nn.dropout(0.5), nn.gaussian_noise(1.0)])
def test_evaluation_changes_nothing_and_zero_noise_needs_no_key(layer):
    assert layer.apply({}, {}, X)[0] is X
    for off in (nn.dropout(0.0), nn.gaussian_noise(0.0)):
        assert off.apply({}, {}, X, train=True)[0] is X


def test_the_gradient_of_dropout_is_its_mask():
    layer = nn.dropout(0.5)
    grads = jax.grad(lambda x: jnp.sum(draw(layer, x=x)))(X)
    np.testing.assert_array_equal(grads, draw(layer))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match=r"probability of removal, in \[0, 1\)"):
        nn.dropout(rate)
    with pytest.raises(ValueError, match="std must be 0 or more"):
        nn.gaussian_noise(-1.0)
