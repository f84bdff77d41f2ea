"""The randomised leaky ReLU: torch in evaluation, an even slope in training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn

KEY = jax.random.key(0)


def test_evaluation_is_that_of_torch(agrees):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(3, 5))
    x[0, 0] = 0
    ours = lambda x: nn.rrelu(0.1, 0.5).apply({}, {}, x)[0]
    agrees.torch("nn.rrelu", ours, lambda x: torch.nn.functional.rrelu(x, 0.1, 0.5), x)


def test_slopes_in_training_are_even_and_are_the_gradient(agrees):
    x = jax.random.normal(jax.random.key(1), (300, 400))  # of another key than the slopes
    run = lambda x: nn.rrelu(0.1, 0.5).apply({}, {}, x, key=KEY, train=True)[0]
    y = run(x)
    np.testing.assert_array_equal(y[x > 0], x[x > 0])
    slope = np.asarray(y / x, np.float64)[np.asarray(x) < 0]
    assert slope.min() > 0.0999
    assert slope.max() < 0.5001
    moments = np.array([slope.mean(), slope.std()])
    agrees.values("nn.rrelu, training", "moments of 60,000", moments, np.array([0.3, 0.4 / 12**0.5]), most=0.01)
    np.testing.assert_allclose(jax.grad(lambda x: run(x).sum())(x), y / x, rtol=1e-5)


def test_equal_slopes_need_no_key_and_impossible_ones_are_refused():
    y, _ = nn.rrelu(0.2, 0.2).apply({}, {}, jnp.array([-1.0, 2.0]), train=True)
    np.testing.assert_allclose(y, [-0.2, 2.0])
    for slopes in ((0.3, 0.2), (-0.1, 0.2)):
        with pytest.raises(ValueError, match="slopes must be 0 <= lower <= upper"):
            nn.rrelu(*slopes)
