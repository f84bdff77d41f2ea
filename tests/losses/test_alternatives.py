"""Other losses of classes, against torch and their definitions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses

LOGITS = np.random.default_rng(0).normal(0, 2, (6, 5))
LABELS = np.array([0, 4, 2, 1, 1, 3])


def test_equal_torch(agrees):
    torch = pytest.importorskip("torch")
    chosen = lambda x, y: torch.softmax(x, -1).gather(-1, y[:, None])[:, 0]
    theirs = lambda x, y: -torch.log(chosen(x, y)) + 1.5 * (1 - chosen(x, y))
    agrees.torch("losses.poly_cross_entropy", partial(losses.poly_cross_entropy, epsilon=1.5), theirs, LOGITS, LABELS)
    theirs = lambda x, y: (1 - chosen(x, y) ** 0.7) / 0.7
    agrees.torch("losses.generalized_cross_entropy", losses.generalized_cross_entropy, theirs, LOGITS, LABELS)


def test_sparsemax_is_the_largest_of_its_lower_bounds(agrees):
    # The loss is max over distributions p of p.z - |p|^2 / 2, less that at the label: scan a fine grid of them.
    grid = np.stack(np.meshgrid(*[np.arange(101)] * 2), -1).reshape(-1, 2)
    grid = grid[grid.sum(-1) <= 100]
    grid = np.concatenate([grid, 100 - grid.sum(-1, keepdims=True)], -1) / 100
    z = np.round(LOGITS[:, :3], 1) / 2  # the best distribution is a multiple of 1/100 or 1/3 off it
    labels = LABELS % 3
    best = (grid @ z.T - (grid**2).sum(-1, keepdims=True) / 2).max(0)
    want = best + 0.5 - z[np.arange(6), labels]
    np.testing.assert_allclose(losses.sparsemax(z.astype(np.float32), labels), want, atol=1e-4)


def test_sparsemax_equals_torch(agrees):
    torch = pytest.importorskip("torch")

    def theirs(x, y):
        rows = []
        for z, label in zip(x, y):
            order = torch.sort(z, descending=True).values
            sums = torch.cumsum(order, 0)
            count = int((1 + torch.arange(1, 6) * order > sums).sum())
            cut = (sums[count - 1] - 1) / count
            inside = order[:count]
            rows.append(-z[label] + ((inside**2).sum() - count * cut**2) / 2 + 0.5)  # equation 18 of the paper
        return torch.stack(rows)

    agrees.torch("losses.sparsemax", losses.sparsemax, theirs, LOGITS, LABELS)
    assert losses.sparsemax(jnp.array([3.0, 2.0, -1.0]), 0) == 0
    curvature = jax.hessian(losses.sparsemax)(jnp.array([0.2, 0.0, -5.0]), 0)
    np.testing.assert_allclose(curvature, [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]], atol=1e-6)


def test_of_hopeless_logits_the_bounded_loss_stays_bounded():
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4]])
    value, gradient = jax.value_and_grad(lambda x: losses.generalized_cross_entropy(x, jnp.ones(2, int)).sum())(logits)
    assert value == pytest.approx(1 / 0.7)
    assert jnp.isfinite(gradient).all()
    with pytest.raises(ValueError, match="q must be above 0"):
        losses.generalized_cross_entropy(logits, jnp.ones(2, int), q=0.0)
