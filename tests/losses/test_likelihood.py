"""Likelihoods of numbers and bounds on them, against torch and scipy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
X, T = RNG.gamma(2.0, size=(2, 6, 4))
LOG_VAR = RNG.normal(size=(6, 4))
COUNTS = RNG.poisson(3.0, (6, 4)).astype(float)


@pytest.mark.parametrize("full", [False, True])
def test_likelihoods_equal_torch_and_scipy(agrees, full):
    torch = pytest.importorskip("torch")
    stats = pytest.importorskip("scipy.stats")
    log_rate = np.log(X)
    poisson = lambda x, t: torch.exp(x) - t * x + (torch.lgamma(t + 1) if full else 0)
    agrees.torch("losses.poisson_nll", partial(losses.poisson_nll, full=full), poisson, log_rate, COUNTS)
    gaussian = lambda m, t, v: torch.nn.functional.gaussian_nll_loss(m, t, v.exp(), full=full, reduction="none")
    agrees.torch("losses.gaussian_nll", partial(losses.gaussian_nll, full=full), gaussian, X, T, LOG_VAR)
    if full:
        with jax.enable_x64(True):
            counts = losses.poisson_nll(log_rate, COUNTS, full=True)
            normal = losses.gaussian_nll(X, T, LOG_VAR, full=True)
        agrees.values("losses.poisson_nll", "scipy", counts, -stats.poisson.logpmf(COUNTS, X))
        agrees.values("losses.gaussian_nll", "scipy", normal, -stats.norm.logpdf(T, X, np.exp(LOG_VAR / 2)))


def test_no_events_at_rate_zero_cost_nothing():
    value, slope = jax.value_and_grad(losses.poisson_nll)(-jnp.inf, 0.0)
    assert (value, slope) == (0, 0)
    assert losses.poisson_nll(-jnp.inf, 1.0) == jnp.inf


def test_kl_of_gaussians_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    normal = torch.distributions.Normal

    def theirs(mean, log_var):
        spread = torch.exp(log_var / 2)
        return torch.distributions.kl_divergence(normal(mean, spread), normal(mean * 0, mean * 0 + 1)).sum(-1)

    agrees.torch("losses.gaussian_kl", losses.gaussian_kl, theirs, X, LOG_VAR)
    theirs_elbo = lambda r, mean, log_var: r + 0.3 * theirs(mean, log_var)
    agrees.torch("losses.negative_elbo", partial(losses.negative_elbo, beta=0.3), theirs_elbo, X[:, 0], T, LOG_VAR)


def test_kl_of_the_prior_is_zero_and_of_all_but_the_prior_keeps_its_digits():
    assert losses.gaussian_kl(jnp.zeros(3), jnp.zeros(3)) == 0
    assert losses.gaussian_kl(jnp.zeros(1), jnp.full(1, 1e-2)) == pytest.approx(1e-4 / 4, rel=4e-3)


def test_many_samples_equal_torch_and_tighten_the_bound(agrees):
    torch = pytest.importorskip("torch")
    theirs = lambda w: -torch.log(torch.exp(w).mean(-1))
    agrees.torch("losses.importance_weighted", losses.importance_weighted, theirs, LOG_VAR)
    one = losses.importance_weighted(LOG_VAR[..., None]).mean(-1)
    assert (losses.importance_weighted(LOG_VAR) < one).all()
    np.testing.assert_allclose(losses.importance_weighted(LOG_VAR[:, :1]), -LOG_VAR[:, 0], rtol=1e-6)
    assert losses.importance_weighted(jnp.full(3, -2000.0)) == 2000


def test_the_bound_holds_for_a_model_whose_evidence_is_known():
    # z ~ N(0, 1), x = z + noise of variance 1: with the true posterior the bound is -log N(x; 0, 2) exactly.
    x = jnp.array([[0.7]])
    mean, log_var = x / 2, jnp.full((1, 1), jnp.log(0.5))
    expected = (jnp.log(2 * jnp.pi) + jnp.square(x - mean) + jnp.exp(log_var)) / 2
    bound = losses.negative_elbo(expected[:, 0], mean, log_var)
    evidence = (jnp.log(2 * jnp.pi * 2) + jnp.square(x) / 2) / 2
    np.testing.assert_allclose(bound, evidence[:, 0], rtol=1e-6)
    assert (losses.negative_elbo(expected[:, 0], mean + 0.1, log_var) > bound).all()


def test_shapes_are_never_broadcast():
    x = jnp.zeros((2, 3))
    with pytest.raises(ShapeError, match="log_var must have shape"):
        losses.gaussian_nll(x, x, jnp.zeros(()))
    with pytest.raises(ShapeError, match="one number for each row of mean"):
        losses.negative_elbo(x, x, x)
