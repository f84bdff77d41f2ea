"""Losses that look away from what is right, against torch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses

RNG = np.random.default_rng(0)
SCORES = RNG.normal(0, 2, (6, 5))
TARGETS = RNG.choice([0.0, 1.0], (6, 5))
LABELS = np.array([0, 4, 2, 1, 1, 3])


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_equals_torch(agrees, gamma):
    torch = pytest.importorskip("torch")
    rows = torch.arange(6)

    def categorical(x, labels):
        p = torch.softmax(x, -1)[rows, labels]
        return -((1 - p) ** gamma) * torch.log(p)

    def binary(x, t):
        p = torch.sigmoid(x)
        return -0.25 * t * (1 - p) ** gamma * torch.log(p) - 0.75 * (1 - t) * p**gamma * torch.log(1 - p)

    agrees.torch(
        "losses.focal_cross_entropy", partial(losses.focal_cross_entropy, gamma=gamma), categorical, SCORES, LABELS
    )
    ours = partial(losses.binary_focal_cross_entropy, gamma=gamma, alpha=0.25)
    agrees.torch("losses.binary_focal_cross_entropy", ours, binary, SCORES, TARGETS)
    with jax.enable_x64(True):
        plain = losses.binary_focal_cross_entropy(SCORES, TARGETS, gamma=0.0)
        np.testing.assert_allclose(plain, losses.binary_cross_entropy(SCORES, TARGETS), rtol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_certain_answers_is_finite(gamma):
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    loss = lambda x: losses.focal_cross_entropy(x, jnp.zeros(2, int), gamma=gamma)
    np.testing.assert_allclose(loss(logits), [0, 2e4])
    assert jnp.isfinite(jax.grad(lambda x: loss(x).sum())(logits)).all()
    binary = lambda x: losses.binary_focal_cross_entropy(x, jnp.ones(2), gamma=gamma)
    np.testing.assert_allclose(binary(jnp.array([1e4, -1e4])), [0, 1e4])
    np.testing.assert_allclose(jax.grad(lambda x: binary(x).sum())(jnp.array([1e4, -1e4])), [0, -1], atol=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_asymmetric_equals_torch(agrees, shift):
    torch = pytest.importorskip("torch")

    def theirs(x, t):
        p = torch.sigmoid(x)
        q = torch.relu(p - shift)
        return -t * (1 - p) * torch.log(p) - (1 - t) * q**4 * torch.log(1 - q)

    ours = partial(losses.asymmetric_binary_cross_entropy, positive=1.0, shift=shift)
    agrees.torch("losses.asymmetric_binary_cross_entropy", ours, theirs, SCORES, TARGETS)
    with jax.enable_x64(True):
        plain = losses.asymmetric_binary_cross_entropy(SCORES, TARGETS, negative=0.0, shift=0.0)
        np.testing.assert_allclose(plain, losses.binary_cross_entropy(SCORES, TARGETS), rtol=1e-14)


@pytest.mark.parametrize("negative", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_asymmetric_of_certain_answers_is_finite(negative, shift):
    loss = lambda x: losses.asymmetric_binary_cross_entropy(x, jnp.zeros(3), negative=negative, shift=shift)
    x = jnp.array([1e4, -1e4, -10.0])
    assert jnp.isfinite(loss(x)).all()
    assert jnp.isfinite(jax.grad(lambda x: loss(x).sum())(x)).all()
    assert (loss(x)[2] == 0) == (shift > 0)


def test_refusals():
    x = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match="gamma must be 0 or more"):
        losses.focal_cross_entropy(x, jnp.zeros(2, int), gamma=-1.0)
    with pytest.raises(ValueError, match="alpha must lie"):
        losses.binary_focal_cross_entropy(x, x, alpha=2.0)
    with pytest.raises(ValueError, match="shift must lie"):
        losses.asymmetric_binary_cross_entropy(x, x, shift=1.0)
