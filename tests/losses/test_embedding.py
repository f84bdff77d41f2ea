"""Losses of vectors against torch in float64, and where vectors are zero or equal."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, 7, 4))
SAME = np.arange(7) % 2 == 0


def test_vectors_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    cosine = torch.nn.functional.cosine_similarity
    agrees.torch("losses.cosine_similarity", losses.cosine_similarity, cosine, A, B)
    agrees.torch("losses.cosine_distance", losses.cosine_distance, lambda x, y: 1 - cosine(x, y), A, B)

    def hadsell(x, y, same):
        d = (x - y).norm(dim=-1)
        return torch.where(same, d**2, torch.relu(3 - d) ** 2) / 2

    agrees.torch("losses.contrastive", partial(losses.contrastive, margin=3.0), hadsell, A, B, SAME)


def test_triplets_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    theirs = partial(torch.nn.functional.triplet_margin_loss, margin=0.5, eps=0.0, reduction="none")
    agrees.torch("losses.triplet", partial(losses.triplet, margin=0.5), theirs, A, B, C)
    distance = lambda x, y: 1 - torch.nn.functional.cosine_similarity(x, y)
    theirs = torch.nn.TripletMarginWithDistanceLoss(distance_function=distance, margin=0.5, reduction="none")
    ours = partial(losses.triplet, margin=0.5, distance=losses.cosine_distance)
    agrees.torch("losses.triplet, distance given", ours, theirs, A, B, C)


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


def test_other_refusals():
    a = jnp.zeros((7, 4))
    with pytest.raises(DtypeError, match="same must be boolean"):
        losses.contrastive(a, a, jnp.ones(7))
    with pytest.raises(ShapeError, match="negative must have shape"):
        losses.triplet(a, a, a[:1])
