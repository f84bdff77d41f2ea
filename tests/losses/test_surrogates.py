"""The 0-1 loss and what is made small in its place: above it, and with the same best decisions."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses

RNG = np.random.default_rng(0)
SCORES, SIGNS = RNG.normal(0, 2, (6, 5)), RNG.choice([-1.0, 1.0], (6, 5))
SURROGATES = {
    "hinge": losses.hinge,
    "squared_hinge": losses.squared_hinge,
    "exponential": losses.exponential,
    "logistic": lambda scores, targets: losses.soft_margin(scores, targets) / math.log(2),
}
every = pytest.mark.parametrize("loss", SURROGATES.values(), ids=SURROGATES)


def test_they_equal_torch_and_sklearn(agrees):
    torch, sklearn = pytest.importorskip("torch"), pytest.importorskip("sklearn.metrics")
    agrees.torch("losses.exponential", losses.exponential, lambda x, t: torch.exp(-t * x), SCORES, SIGNS)
    agrees.torch("losses.zero_one", losses.zero_one, lambda x, t: (t * x <= 0) + 0.0 * (x + t), SCORES, SIGNS)
    wrong = sklearn.zero_one_loss(SIGNS.ravel(), np.sign(SCORES).ravel())
    agrees.values("losses.zero_one", "sklearn", losses.zero_one(SCORES, SIGNS).mean(), np.float32(wrong))


def test_errors_are_counted_on_the_safe_side():
    score = jnp.array([0.0, -0.0, 2.0, -2.0, jnp.nan])
    np.testing.assert_array_equal(losses.zero_one(score, jnp.ones(5)), [1, 1, 0, 1, np.nan])
    kept = losses.zero_one(score, jnp.ones(5), where=jnp.arange(5) < 4)
    np.testing.assert_array_equal(kept, [1, 1, 0, 1, 0])
    np.testing.assert_array_equal(jax.grad(lambda s: losses.zero_one(s, jnp.ones(4)).sum())(score[:4]), 0)


@every
def test_a_surrogate_is_convex_and_above_the_0_1_loss(loss):
    with jax.enable_x64(True):
        score = jnp.linspace(-6, 6, 1201)
        for sign in (-1.0, 1.0):
            value = loss(score, jnp.full_like(score, sign))
            assert (value >= losses.zero_one(score, jnp.full_like(score, sign)) - 1e-12).all()
            assert (value[:-2] + value[2:] - 2 * value[1:-1] >= -1e-12).all()


@every
def test_the_best_score_of_each_point_changes_sign_at_the_threshold_of_bayes(loss):
    """N(1, 1) with probability 0.3 against N(-1, 1): the densities cross at log(0.7 / 0.3) / 2."""
    with jax.enable_x64(True):
        x = np.arange(-0.5, 1.5, 5e-4)
        share = jax.nn.sigmoid(2 * x + np.log(0.3 / 0.7))
        risk = lambda s: jnp.sum(share * loss(s, jnp.ones_like(x)) + (1 - share) * loss(s, -jnp.ones_like(x)))
        score = np.asarray(jax.lax.fori_loop(0, 300, lambda _, s: s - 0.1 * jax.grad(risk)(s), jnp.zeros_like(x)))
    assert abs(x[int(np.argmax(score > 0))] - np.log(0.7 / 0.3) / 2) < 1e-3
    assert (np.diff(np.sign(score)) != 0).sum() <= 2
