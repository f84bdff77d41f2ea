"""Kullback-Leibler divergence against scipy and torch, with zeros on either side."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError
from fdl.losses import cross_entropy, jensen_shannon, kl_divergence

RNG = np.random.default_rng(0)
P, Q = RNG.dirichlet(np.ones(5), 4), RNG.dirichlet(np.ones(5), 4)


def test_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    theirs = lambda q, p: torch.nn.functional.kl_div(q, p, reduction="none").sum(-1)
    agrees.torch("losses.kl_divergence", kl_divergence, theirs, np.log(Q), P)
    theirs = lambda q, p: torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    ours = partial(kl_divergence, log_target=True)
    agrees.torch("losses.kl_divergence, log_target", ours, theirs, np.log(Q), np.log(P))


def test_mixtures_equal_scipy(agrees):
    distance = pytest.importorskip("scipy.spatial.distance")
    with jax.enable_x64(True):
        got = jensen_shannon(P, Q)
        bounds = jensen_shannon(*np.eye(3)), jensen_shannon(P, P, P)
    agrees.values("losses.jensen_shannon", "scipy", got, distance.jensenshannon(P, Q, axis=-1) ** 2)
    np.testing.assert_allclose(bounds[0], np.log(3), rtol=1e-14)
    np.testing.assert_allclose(bounds[1], 0, atol=1e-15)
    gradient = jax.grad(jensen_shannon)(jnp.array([0.0, 0.5, 0.5]), jnp.array([0.0, 1.0, 0.0]))
    assert jnp.isfinite(gradient).all()
    with pytest.raises(ValueError, match="two distributions or more"):
        jensen_shannon(P)


def test_mixtures_have_the_gradient_of_torch(agrees):
    torch = pytest.importorskip("torch")

    def theirs(p, q, r):
        mean = torch.log((p + q + r) / 3)
        return sum((x * (torch.log(x) - mean)).sum(-1) for x in (p, q, r)) / 3

    agrees.torch("losses.jensen_shannon, of three", jensen_shannon, theirs, P, Q, P[::-1])


def test_a_log_target_of_minus_infinity_counts_zero():
    log_q, log_target = jnp.array([-0.5, -jnp.inf]), jnp.array([0.0, -jnp.inf])
    value, gradient = jax.value_and_grad(partial(kl_divergence, log_target=True))(log_q, log_target)
    assert value == 0.5
    np.testing.assert_array_equal(gradient, [-1, 0])


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


def test_shapes_are_never_broadcast():
    with pytest.raises(ShapeError, match="it must be that of log_probs"):
        kl_divergence(jnp.zeros((4, 5)), jnp.zeros((4, 1)))
    with pytest.raises(ShapeError, match="where must have shape"):
        kl_divergence(jnp.zeros((4, 5)), jnp.zeros((4, 5)), where=jnp.ones((4, 5), bool))
    assert kl_divergence(jnp.zeros((4, 5), jnp.bfloat16), jnp.zeros((4, 5), jnp.bfloat16)).dtype == jnp.float32
