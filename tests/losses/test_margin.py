"""Margin and ranking losses against torch and sklearn in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
SCORES, OTHER = RNG.normal(0, 2, (2, 6, 5))
SIGNS = RNG.choice([-1.0, 1.0], (6, 5))
LABELS = np.array([0, 4, 2, 1, 1, 3])


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("hinge", lambda torch, x, t: torch.relu(1 - t * x)),
        ("squared_hinge", lambda torch, x, t: torch.relu(1 - t * x) ** 2),
        ("perceptron", lambda torch, x, t: torch.relu(-t * x)),
        ("soft_margin", lambda torch, x, t: torch.log(1 + torch.exp(-t * x))),
        ("hinge_embedding", lambda torch, x, t: torch.nn.functional.hinge_embedding_loss(x, t, reduction="none")),
    ],
)
def test_losses_of_signs_equal_torch(agrees, name, theirs):
    torch = pytest.importorskip("torch")
    agrees.torch(f"losses.{name}", getattr(losses, name), partial(theirs, torch), SCORES, SIGNS)


def test_ranking_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    theirs = partial(torch.nn.functional.margin_ranking_loss, margin=0.7, reduction="none")
    agrees.torch("losses.margin_ranking", partial(losses.margin_ranking, margin=0.7), theirs, SCORES, OTHER, SIGNS)
    theirs = lambda x, t: -(t * torch.log_softmax(x, -1)).sum(-1)
    agrees.torch("losses.ranking_softmax", losses.ranking_softmax, theirs, SCORES, OTHER)


def test_ranking_takes_only_the_items_that_are_there():
    keep = SIGNS > 0
    keep[1] = False
    got = losses.ranking_softmax(*(jnp.where(keep, x, jnp.nan) for x in (SCORES, OTHER)), where=keep)
    assert got[1] == 0
    for row in (0, 2, 3, 4, 5):
        want = losses.ranking_softmax(SCORES[row][keep[row]], OTHER[row][keep[row]])
        np.testing.assert_allclose(got[row], want, rtol=1e-5)


def test_multilabel_margin_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    listed = np.array([[3, 0, -1, -1, -1], [-1, 0, 0, 0, 0], [1, 2, 3, 4, 0], [4, -1, 0, 0, 0]])
    right = np.zeros((4, 5), bool)
    right[[0, 0, 3], [3, 0, 4]], right[2] = True, True
    theirs = lambda x, _: torch.nn.functional.multilabel_margin_loss(x, torch.tensor(listed), reduction="none")
    agrees.torch("losses.multilabel_margin", losses.multilabel_margin, theirs, SCORES[:4], right)
    with pytest.raises(DtypeError, match="targets must be boolean"):
        losses.multilabel_margin(SCORES, SIGNS)


def test_hinges_equal_sklearn(agrees):
    sklearn = pytest.importorskip("sklearn.metrics")
    with jax.enable_x64(True):
        two = losses.hinge(SCORES.ravel(), SIGNS.ravel()).mean()
        many = losses.multiclass_hinge(SCORES, LABELS).mean()
    agrees.values("losses.hinge", "sklearn", two, sklearn.hinge_loss(SIGNS.ravel(), SCORES.ravel()))
    agrees.values("losses.multiclass_hinge", "sklearn", many, sklearn.hinge_loss(LABELS, SCORES, labels=np.arange(5)))


def test_multiclass_hinge_and_likelihood_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    rows = torch.arange(6)

    def crammer_singer(x, labels):
        wrong = x.clone()
        wrong[rows, labels] = -torch.inf
        return torch.relu(1 + wrong.max(-1).values - x[rows, labels])

    agrees.torch("losses.multiclass_hinge", losses.multiclass_hinge, crammer_singer, SCORES, LABELS)
    nll = partial(torch.nn.functional.nll_loss, reduction="none")
    agrees.torch("losses.negative_log_likelihood", losses.negative_log_likelihood, nll, SCORES, LABELS)


def test_corners_have_the_derivative_zero():
    for loss, corner in ((losses.hinge, 1.0), (losses.squared_hinge, 1.0), (losses.perceptron, 0.0)):
        assert jax.grad(loss)(corner, 1.0) == 0
    assert jax.grad(losses.margin_ranking)(1.0, 1.0, 1.0) == 0


NUMBERED = [
    losses.focal_cross_entropy,
    losses.generalized_cross_entropy,
    losses.multiclass_hinge,
    losses.negative_log_likelihood,
    losses.poly_cross_entropy,
    losses.sparsemax,
]


@pytest.mark.parametrize("loss", NUMBERED, ids=lambda f: f.__name__)
def test_labels_that_are_no_class_make_the_loss_nan(loss):
    labels = np.array([0, 5, -1, 4, -7, 100])
    np.testing.assert_array_equal(jnp.isnan(loss(SCORES, labels)), (labels < 0) | (labels > 4))
    np.testing.assert_allclose(loss(SCORES, LABELS.astype(np.int8)), loss(SCORES, LABELS))
    with pytest.raises(DtypeError, match="labels must be integers"):
        loss(SCORES, SCORES)


def test_refusals():
    with pytest.raises(ShapeError, match="2 classes or more"):
        losses.multiclass_hinge(jnp.zeros((3, 1)), jnp.zeros(3, int))
