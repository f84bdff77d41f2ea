"""Losses that tell examples apart, against torch and their definitions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(2, 7, 4))
KERNEL = RNG.normal(size=(4, 5))
LABELS = np.array([0, 4, 2, 1, 1, 3, 0])
KEEP = np.arange(7) % 3 != 1


def scattered(torch, loss):
    """The loss of the examples kept, 0 for the others."""
    kept = torch.tensor(KEEP)
    return lambda x, y: torch.zeros(7, dtype=x.dtype).masked_scatter(kept, loss(x[kept], y[kept]))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent_equals_torch_with_and_without_a_mask(agrees, temperature):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def simclr(x, y):
        z = functional.normalize(torch.cat([x, y]), dim=-1)
        n = len(x)
        logits = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=bool), -torch.inf)
        loss = functional.cross_entropy(logits, torch.arange(2 * n).roll(n), reduction="none")
        return (loss[:n] + loss[n:]) / 2

    ours = partial(losses.nt_xent, temperature=temperature)
    agrees.torch("losses.nt_xent", ours, simclr, A, B)
    agrees.torch("losses.nt_xent, where", partial(ours, where=KEEP), scattered(torch, simclr), A, B)
    assert losses.nt_xent(jnp.ones((1, 3)), jnp.ones((1, 3))) == 0


@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce_equals_torch_with_and_without_a_mask(agrees, symmetric):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def clip(x, y):
        logits = functional.normalize(x, dim=-1) @ functional.normalize(y, dim=-1).T / 0.2
        find = lambda logits: functional.cross_entropy(logits, torch.arange(len(x)), reduction="none")
        return (find(logits) + find(logits.T)) / 2 if symmetric else find(logits)

    ours = partial(losses.info_nce, temperature=0.2, symmetric=symmetric)
    agrees.torch("losses.info_nce", ours, clip, A, B)
    agrees.torch("losses.info_nce, where", partial(ours, where=KEEP), scattered(torch, clip), A, B)


def test_a_temperature_may_be_learned():
    loss = lambda t: losses.info_nce(A, B, temperature=t).mean()
    slope = jax.jit(jax.grad(loss))(jnp.float32(0.5))
    assert slope == pytest.approx(float(loss(0.51) - loss(0.49)) / 0.02, rel=1e-2)


@pytest.mark.parametrize("scale", [4.0, 16.0])
def test_circle_equals_torch(agrees, scale):
    torch = pytest.importorskip("torch")

    def theirs(x, labels):
        z = torch.nn.functional.normalize(x, dim=-1)
        total = []
        for i in range(7):
            near, far = torch.zeros((), dtype=x.dtype), torch.zeros((), dtype=x.dtype)
            for j in range(7):
                s = z[i] @ z[j]
                if j != i and labels[i] == labels[j]:
                    near = near + torch.exp(-scale * torch.relu(1.25 - s).detach() * (s - 0.75))
                if labels[i] != labels[j]:
                    far = far + torch.exp(scale * torch.relu(s + 0.25).detach() * (s - 0.25))
            total.append(torch.log1p(far * near))
        return torch.stack(total)

    agrees.torch("losses.circle", partial(losses.circle, scale=scale), theirs, A, LABELS)


def test_circle_without_partners_is_zero():
    alike, alone = jnp.zeros(3, int), jnp.arange(3)
    for labels in (alike, alone):
        value, gradient = jax.value_and_grad(lambda x: losses.circle(x, labels).sum())(jnp.asarray(A[:3]))  # noqa: B023
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)
    assert jnp.isnan(losses.circle(jnp.full((3, 2), jnp.nan), jnp.array([0, 0, 1]))).all()


def test_large_margin_cosine_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def cosface(x, kernel, labels):
        cosine = functional.normalize(x, dim=-1) @ functional.normalize(kernel, dim=0)
        return functional.cross_entropy(
            30 * (cosine - 0.35 * functional.one_hot(labels, 5).to(x.dtype)), labels, reduction="none"
        )

    ours = partial(losses.large_margin_cosine, scale=30.0)
    agrees.torch("losses.large_margin_cosine", ours, cosface, A, KERNEL, LABELS)
    assert jnp.isnan(losses.large_margin_cosine(A, KERNEL, np.full(7, 5))).all()
    with pytest.raises(ShapeError, match="kernel must have shape"):
        losses.large_margin_cosine(A, KERNEL.T, LABELS)


def test_a_temperature_is_positive():
    for loss in (losses.nt_xent, losses.info_nce):
        with pytest.raises(ValueError, match="temperature must be positive"):
            loss(A, B, temperature=0.0)
    with pytest.raises(ShapeError, match="one row per example"):
        losses.nt_xent(jnp.ones(4), jnp.ones(4))
