"""Losses of students against torch, and their limit at high temperature."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses

A, B = np.random.default_rng(0).normal(size=(2, 7, 4))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_equals_torch(agrees, temperature):
    torch = pytest.importorskip("torch")

    def hinton(z, v):
        soft = torch.log_softmax(z / temperature, -1), torch.log_softmax(v / temperature, -1)
        return temperature**2 * torch.nn.functional.kl_div(*soft, log_target=True, reduction="none").sum(-1)

    agrees.torch("losses.distillation", partial(losses.distillation, temperature=temperature), hinton, A, B)


def test_features_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    theirs = lambda x, y: torch.nn.functional.mse_loss(x, y, reduction="none").sum(-1) / 2
    agrees.torch("losses.feature_distillation", losses.feature_distillation, theirs, A, B)


def test_distillation_at_high_temperature_matches_logits():
    z, v = A - A.mean(-1, keepdims=True), B - B.mean(-1, keepdims=True)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda z: losses.distillation(z, jnp.asarray(v), temperature=1e5).sum())(jnp.asarray(z))
    np.testing.assert_allclose(gradient, (z - v) / 4, rtol=1e-3, atol=1e-4)


def test_a_temperature_is_positive():
    with pytest.raises(ValueError, match="temperature must be positive"):
        losses.distillation(jnp.zeros((2, 3)), jnp.zeros((2, 3)), temperature=0.0)
