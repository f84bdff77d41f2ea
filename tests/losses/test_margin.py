"""Margin, focal and log-probability losses against torch and sklearn in float64."""

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
NUMBERED = [losses.multiclass_hinge, losses.focal_cross_entropy, losses.negative_log_likelihood]
SIGNED = [losses.hinge, losses.squared_hinge, losses.perceptron, losses.binary_focal_cross_entropy]


def assert_equal(ours, theirs, *arrays):
    torch = pytest.importorskip("torch")
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    want = theirs(*leaves)
    want.sum().backward()
    with jax.enable_x64(True):
        args = [jnp.asarray(a) for a in arrays]
        value = jax.jit(ours)(*args)
        gradients = jax.jit(jax.grad(lambda *a: ours(*a).sum(), range(len(args))))(*args)
    np.testing.assert_allclose(value, want.detach(), rtol=1e-11)
    for gradient, leaf in zip(gradients, leaves):
        np.testing.assert_allclose(gradient, leaf.grad, rtol=1e-11, atol=1e-14)


def test_two_sided_margins_equal_torch():
    torch = pytest.importorskip("torch")
    assert_equal(losses.hinge, lambda x, t: torch.relu(1 - t * x), SCORES, SIGNS)
    assert_equal(losses.squared_hinge, lambda x, t: torch.relu(1 - t * x) ** 2, SCORES, SIGNS)
    assert_equal(losses.perceptron, lambda x, t: torch.relu(-t * x), SCORES, SIGNS)
    theirs = lambda x, y, t: torch.nn.functional.margin_ranking_loss(x, y, t, margin=0.7, reduction="none")
    assert_equal(lambda x, y, t: losses.margin_ranking(x, y, t, margin=0.7), theirs, SCORES, OTHER, SIGNS)


def test_hinges_equal_sklearn():
    sklearn = pytest.importorskip("sklearn.metrics")
    with jax.enable_x64(True):
        two = losses.hinge(SCORES.ravel(), SIGNS.ravel()).mean()
        many = losses.multiclass_hinge(SCORES, LABELS).mean()
    assert two == pytest.approx(sklearn.hinge_loss(SIGNS.ravel(), SCORES.ravel()), rel=1e-13)
    assert many == pytest.approx(sklearn.hinge_loss(LABELS, SCORES, labels=np.arange(5)), rel=1e-13)


def test_multiclass_hinge_and_likelihood_equal_torch():
    torch = pytest.importorskip("torch")
    rows, labels = torch.arange(6), torch.tensor(LABELS)

    def crammer_singer(x):
        wrong = x.clone()
        wrong[rows, labels] = -torch.inf
        return torch.relu(1 + wrong.max(-1).values - x[rows, labels])

    assert_equal(lambda x: losses.multiclass_hinge(x, jnp.asarray(LABELS)), crammer_singer, SCORES)
    nll = lambda x: torch.nn.functional.nll_loss(x, labels, reduction="none")
    assert_equal(lambda x: losses.negative_log_likelihood(x, jnp.asarray(LABELS)), nll, SCORES)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_equals_torch(gamma):
    torch = pytest.importorskip("torch")
    rows, labels, signs = torch.arange(6), torch.tensor(LABELS), torch.tensor(SIGNS)

    def categorical(x):
        p = torch.softmax(x, -1)[rows, labels]
        return -((1 - p) ** gamma) * torch.log(p)

    def binary(x):
        t = (signs + 1) / 2
        p = torch.sigmoid(x)
        p = p * t + (1 - p) * (1 - t)
        return -(0.25 * t + 0.75 * (1 - t)) * (1 - p) ** gamma * torch.log(p)

    assert_equal(lambda x: losses.focal_cross_entropy(x, jnp.asarray(LABELS), gamma=gamma), categorical, SCORES)
    targets = (SIGNS + 1) / 2
    ours = lambda x: losses.binary_focal_cross_entropy(x, targets, gamma=gamma, alpha=0.25)
    assert_equal(ours, binary, SCORES)
    with jax.enable_x64(True):
        plain = losses.binary_focal_cross_entropy(SCORES, targets, gamma=0.0)
        np.testing.assert_allclose(plain, losses.binary_cross_entropy(SCORES, targets), rtol=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_of_certain_answers_is_finite(gamma):
    logits = jnp.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    loss = lambda x: losses.focal_cross_entropy(x, jnp.zeros(2, int), gamma=gamma)
    np.testing.assert_allclose(loss(logits), [0, 2e4])
    assert jnp.isfinite(jax.grad(lambda x: loss(x).sum())(logits)).all()
    binary = lambda x: losses.binary_focal_cross_entropy(x, jnp.ones(2), gamma=gamma)
    np.testing.assert_allclose(binary(jnp.array([1e4, -1e4])), [0, 1e4])
    np.testing.assert_allclose(jax.grad(lambda x: binary(x).sum())(jnp.array([1e4, -1e4])), [0, -1], atol=1e-6)


def test_corners_have_the_derivative_zero():
    for loss, corner in ((losses.hinge, 1.0), (losses.squared_hinge, 1.0), (losses.perceptron, 0.0)):
        assert jax.grad(loss)(corner, 1.0) == 0
    assert jax.grad(losses.margin_ranking)(1.0, 1.0, 1.0) == 0


@pytest.mark.parametrize("loss", NUMBERED, ids=lambda f: f.__name__)
def test_of_classes_masks_labels_and_shapes(loss):
    x = jnp.asarray(SCORES, jnp.float32)
    keep = np.arange(6) % 2 == 0
    spoilt = jnp.where(keep[:, None], x, jnp.nan)
    labels = np.where(keep, LABELS, -7)
    masked = lambda x: loss(x, labels, where=keep)
    np.testing.assert_allclose(masked(spoilt), np.where(keep, loss(x, LABELS), 0), rtol=1e-6)
    gradient = jax.grad(lambda x: masked(x).sum())(spoilt)
    assert jnp.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[~keep], 0)
    np.testing.assert_array_equal(jnp.isnan(loss(x, labels)), ~keep)
    assert loss(x.astype(jnp.bfloat16), LABELS.astype(np.int8)).dtype == jnp.float32
    assert loss(x.reshape(2, 3, 5), LABELS.reshape(2, 3)).shape == (2, 3)
    with pytest.raises(DtypeError, match="labels must be integers"):
        loss(x, x)
    with pytest.raises(ShapeError, match="labels must have shape"):
        loss(x, LABELS[:, None])


@pytest.mark.parametrize("loss", SIGNED, ids=lambda f: f.__name__)
def test_of_signs_masks_and_shapes(loss):
    keep = jnp.array([True, False, True])
    x, t = jnp.array([0.2, jnp.nan, -3.0]), jnp.array([1.0, jnp.nan, 1.0])
    np.testing.assert_allclose(
        loss(x, t, where=keep), loss(jnp.where(keep, x, 0), jnp.where(keep, t, 0)) * np.float32([1, 0, 1])
    )
    gradient = jax.grad(lambda x: loss(x, t, where=keep).sum())(x)
    assert (gradient[1], bool(jnp.isfinite(gradient).all())) == (0, True)
    with pytest.raises(ShapeError, match="drop the last axis"):
        loss(jnp.zeros((3, 1)), t)
    with pytest.raises(DtypeError, match="target must be floating point"):
        loss(x, jnp.ones(3, int))


def test_ranking_masks_and_other_refusals():
    x, y = jnp.array([0.0, jnp.nan]), jnp.array([1.0, jnp.nan])
    loss = losses.margin_ranking(x, y, jnp.ones(2), where=jnp.array([True, False]))
    np.testing.assert_array_equal(loss, [1, 0])
    with pytest.raises(ShapeError, match="2 classes or more"):
        losses.multiclass_hinge(jnp.zeros((3, 1)), jnp.zeros(3, int))
    with pytest.raises(ValueError, match="gamma must be 0 or more"):
        losses.focal_cross_entropy(jnp.zeros((1, 2)), jnp.zeros(1, int), gamma=-1.0)
    with pytest.raises(ValueError, match="alpha must lie"):
        losses.binary_focal_cross_entropy(x, y, alpha=2.0)
