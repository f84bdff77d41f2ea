"""Kullback-Leibler divergence against scipy and torch, with zeros on either side."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError
from fdl.losses import cross_entropy, kl_divergence

RNG = np.random.default_rng(0)
P, Q = RNG.dirichlet(np.ones(5), 4), RNG.dirichlet(np.ones(5), 4)


def test_equals_torch_and_scipy():
    torch = pytest.importorskip("torch")
    special = pytest.importorskip("scipy.special")
    log_q = torch.tensor(np.log(Q), requires_grad=True)
    want = torch.nn.functional.kl_div(log_q, torch.tensor(P), reduction="none").sum(-1)
    want.sum().backward()
    with jax.enable_x64(True):
        value = jax.jit(kl_divergence)(np.log(Q), P)
        gradient = jax.grad(lambda x: kl_divergence(x, P).sum())(jnp.log(Q))
    np.testing.assert_allclose(value, want.detach(), rtol=1e-12)
    np.testing.assert_allclose(value, special.rel_entr(P, Q).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(gradient, log_q.grad, rtol=1e-12)


def test_zero_exactly_between_equals_and_positive_otherwise():
    log_p = jnp.log(jnp.asarray(P, jnp.float32))
    np.testing.assert_allclose(kl_divergence(log_p, jnp.exp(log_p)), 0, atol=1e-6)
    assert (kl_divergence(jnp.log(jnp.asarray(Q, jnp.float32)), jnp.exp(log_p)) > 0.01).all()


def test_is_cross_entropy_less_entropy():
    logits = jnp.asarray(RNG.normal(size=(4, 5)), jnp.float32)
    entropy = -(P * np.log(P)).sum(-1)
    want = cross_entropy(logits, jnp.asarray(P, jnp.float32)) - entropy.astype(np.float32)
    np.testing.assert_allclose(kl_divergence(jax.nn.log_softmax(logits), jnp.asarray(P, jnp.float32)), want, atol=1e-6)


def test_zeros_count_zero_and_gradients_stay_finite():
    target = jnp.array([0.5, 0.5, 0.0, 0.0])
    log_q = jnp.array([-0.5, -1.0, -3.0, -jnp.inf])
    assert kl_divergence(log_q, target) == pytest.approx(np.log(0.5) + 0.75, abs=1e-6)
    to_model, to_target = jax.grad(kl_divergence, argnums=(0, 1))(log_q, target)
    np.testing.assert_allclose(to_model, [-0.5, -0.5, 0, 0])
    assert jnp.isfinite(to_target).all()
    assert kl_divergence(log_q, jnp.array([0.5, 0.0, 0.0, 0.5])) == jnp.inf


def test_negative_probabilities_are_not_silent():
    assert jnp.isnan(kl_divergence(jnp.log(jnp.array([0.5, 0.5])), jnp.array([1.5, -0.5])))


def test_where_leaves_out_whatever_is_there():
    log_q, target = jnp.log(jnp.asarray(Q, jnp.float32)), jnp.asarray(P, jnp.float32)
    keep = jnp.array([True, False, True, False])
    masked = lambda x: kl_divergence(x, jnp.where(keep[:, None], target, jnp.nan), where=keep)
    spoilt = jnp.where(keep[:, None], log_q, jnp.nan)
    np.testing.assert_allclose(masked(spoilt), jnp.where(keep, kl_divergence(log_q, target), 0), rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: masked(x).sum())(spoilt)).all()


def test_shapes_are_never_broadcast():
    with pytest.raises(ShapeError, match="it must be that of log_probs"):
        kl_divergence(jnp.zeros((4, 5)), jnp.zeros((4, 1)))
    with pytest.raises(ShapeError, match="where must have shape"):
        kl_divergence(jnp.zeros((4, 5)), jnp.zeros((4, 5)), where=jnp.ones((4, 5), bool))
    assert kl_divergence(jnp.zeros((4, 5), jnp.bfloat16), jnp.zeros((4, 5), jnp.bfloat16)).dtype == jnp.float32
