"""Losses of vectors, masks of pixels and teachers: against torch in float64, and where vectors are zero or equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 7, 4))
SAME = np.arange(7) % 2 == 0
KEEP = np.arange(7) % 3 != 1
each_pair_loss = pytest.mark.parametrize(
    "loss",
    [
        losses.cosine_similarity,
        losses.cosine_distance,
        lambda x, y, **where: losses.triplet(x, y, jnp.asarray(C, x.dtype), **where),
        lambda x, y, **where: losses.contrastive(x, y, SAME, margin=3.0, **where),
        lambda x, y, **where: losses.distillation(x, y, temperature=3.0, **where),
    ],
    ids=["similarity", "distance", "triplet", "contrastive", "distillation"],
)


def assert_equal(ours, theirs, *arrays, rtol=1e-10):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    want = theirs(*leaves)
    want.sum().backward()
    with jax.enable_x64(True):
        args = [jnp.asarray(a) for a in arrays]
        value = jax.jit(ours)(*args)
        gradients = jax.jit(jax.grad(lambda *a: ours(*a).sum(), range(len(args))))(*args)
    assert value.shape == tuple(want.shape)
    np.testing.assert_allclose(value, want.detach(), rtol=rtol, atol=1e-14)
    for gradient, leaf in zip(gradients, leaves):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=rtol, atol=1e-13)


def test_vectors_equal_torch():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    assert_equal(losses.cosine_similarity, functional.cosine_similarity, A, B)
    assert_equal(losses.cosine_distance, lambda x, y: 1 - functional.cosine_similarity(x, y), A, B)
    theirs = lambda a, p, n: functional.triplet_margin_loss(a, p, n, margin=0.5, eps=0.0, reduction="none")
    assert_equal(lambda a, p, n: losses.triplet(a, p, n, margin=0.5), theirs, A, B, C)
    same = torch.tensor(SAME)

    def hadsell(x, y):
        d = (x - y).norm(dim=-1)
        return torch.where(same, d**2, torch.relu(3 - d) ** 2) / 2

    assert_equal(lambda x, y: losses.contrastive(x, y, SAME, margin=3.0), hadsell, A, B)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent_equals_torch_with_and_without_a_mask(temperature):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def simclr(x, y):
        z = functional.normalize(torch.cat([x, y]), dim=-1)
        n = len(x)
        logits = (z @ z.T / temperature).masked_fill(torch.eye(2 * n, dtype=bool), -torch.inf)
        loss = functional.cross_entropy(logits, torch.arange(2 * n).roll(n), reduction="none")
        return (loss[:n] + loss[n:]) / 2

    assert_equal(lambda x, y: losses.nt_xent(x, y, temperature=temperature), simclr, A, B)
    kept = torch.tensor(KEEP)
    scatter = lambda x, y: torch.zeros(7, dtype=x.dtype).masked_scatter(kept, simclr(x[kept], y[kept]))
    assert_equal(lambda x, y: losses.nt_xent(x, y, temperature=temperature, where=KEEP), scatter, A, B)
    spoilt = jnp.where(KEEP[:, None], jnp.asarray(A, jnp.float32), jnp.nan)
    loss, gradient = jax.value_and_grad(lambda x: losses.nt_xent(x, spoilt, where=KEEP).sum())(spoilt)
    assert jnp.isfinite(loss)
    assert jnp.isfinite(gradient).all()
    assert losses.nt_xent(jnp.ones((1, 3)), jnp.ones((1, 3))) == 0


def test_zero_and_extreme_vectors():
    gradient = jax.grad(losses.cosine_similarity, (0, 1))
    zero, one = jnp.zeros(3), jnp.array([1.0, 2.0, 2.0])
    assert losses.cosine_similarity(zero, one) == 0
    assert losses.cosine_distance(zero, zero) == 1
    for pair in ((zero, one), (one, zero), (zero, zero)):
        for part in gradient(*pair):
            np.testing.assert_array_equal(part, 0)
    for size in (1e-30, 1e30):
        assert losses.cosine_similarity(size * one, one) == pytest.approx(1, rel=1e-6)
        assert all(jnp.isfinite(g).all() for g in gradient(size * one, -one))
    for part in jax.grad(losses.triplet, (0, 1, 2))(one, one, one):
        np.testing.assert_array_equal(part, 0)
    np.testing.assert_array_equal(jax.grad(losses.contrastive)(one, one, False), 0)
    assert losses.contrastive(one, one, False, margin=2.0) == 2


@each_pair_loss
def test_masks_precision_and_shapes(loss):
    a, b = jnp.asarray(A, jnp.float32), jnp.asarray(B, jnp.float32)
    spoil = lambda x: jnp.where(KEEP[:, None], x, jnp.nan)
    masked = lambda x: loss(x, spoil(b), where=KEEP)
    np.testing.assert_allclose(masked(spoil(a)), np.where(KEEP, loss(a, b), 0), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda x: masked(x).sum())(spoil(a))
    np.testing.assert_array_equal(gradient[~KEEP], 0)
    assert jnp.isfinite(gradient).all()
    assert loss(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)).dtype == jnp.float32
    with pytest.raises(ShapeError, match="target must have shape"):
        loss(a, b[:1])
    with pytest.raises(ShapeError, match="where must have shape"):
        loss(a, b, where=np.ones((7, 4), bool))


def test_other_refusals():
    a = jnp.zeros((7, 4))
    with pytest.raises(DtypeError, match="same must be boolean"):
        losses.contrastive(a, a, jnp.ones(7))
    with pytest.raises(ShapeError, match="negative must have shape"):
        losses.triplet(a, a, a[:1])
    for call in (losses.nt_xent, losses.distillation):
        with pytest.raises(ValueError, match="temperature must be positive"):
            call(a, a, temperature=0.0)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_equals_torch_in_value_and_gradient(temperature):
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def hinton(z, v):
        soft = torch.log_softmax(z / temperature, -1), torch.log_softmax(v / temperature, -1)
        return temperature**2 * functional.kl_div(*soft, log_target=True, reduction="none").sum(-1)

    assert_equal(lambda z, v: losses.distillation(z, v, temperature=temperature), hinton, A, B)


def test_distillation_at_high_temperature_matches_logits():
    z, v = A - A.mean(-1, keepdims=True), B - B.mean(-1, keepdims=True)
    with jax.enable_x64(True):
        gradient = jax.grad(lambda z: losses.distillation(z, jnp.asarray(v), temperature=1e5).sum())(jnp.asarray(z))
    np.testing.assert_allclose(gradient, (z - v) / 4, rtol=1e-3, atol=1e-4)
