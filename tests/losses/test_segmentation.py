"""Overlap losses against torch in float64, and of classes that are not there."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError
from fdl.losses import dice, generalized_dice, tversky

RNG = np.random.default_rng(0)
PROBS = RNG.uniform(size=(2, 4, 5, 3))
TARGET = (RNG.uniform(size=PROBS.shape) < 0.4).astype(float)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_equal_torch(agrees, smooth):
    pytest.importorskip("torch")

    def their_dice(p, t):
        return 1 - (2 * (p * t).sum((1, 2)) + smooth) / (p.sum((1, 2)) + t.sum((1, 2)) + smooth)

    def their_tversky(p, t):
        tp, fp, fn = ((a * b).sum((1, 2)) for a, b in ((p, t), (p, 1 - t), (1 - p, t)))
        return 1 - (tp + smooth) / (tp + 0.3 * fp + 0.7 * fn + smooth)

    agrees.torch("losses.dice", partial(dice, smooth=smooth), their_dice, PROBS, TARGET)
    ours = partial(tversky, alpha=0.3, beta=0.7, smooth=smooth)
    agrees.torch("losses.tversky", ours, their_tversky, PROBS, TARGET)


def test_generalized_equals_torch_and_weighs_what_is_not_there_like_the_smallest(agrees):
    torch = pytest.importorskip("torch")
    target = TARGET.copy()
    target[1, ..., 2] = 0

    def theirs(p, t):
        weight = 1 / t.sum((1, 2)) ** 2
        finite = torch.where(torch.isinf(weight), 0.0, weight)
        weight = torch.where(torch.isinf(weight), finite.max(-1, keepdim=True).values, weight).detach()
        return 1 - 2 * (weight * (p * t).sum((1, 2))).sum(-1) / (weight * (p + t).sum((1, 2))).sum(-1)

    ours = lambda p, t: generalized_dice(p, jax.lax.stop_gradient(t))
    agrees.torch("losses.generalized_dice", ours, lambda p, t: theirs(p, t.detach()), PROBS, target)
    none = jnp.zeros((1, 4, 2))
    value, gradient = jax.value_and_grad(lambda p: generalized_dice(p, none)[0])(none)
    assert value == 0
    assert jnp.isfinite(gradient).all()


def test_perfect_empty_and_wrong_masks():
    one, none = jnp.ones((1, 4, 1)), jnp.zeros((1, 4, 1))
    for smooth in (0.0, 1.0):
        assert dice(one, one, smooth=smooth) == 0
        assert dice(none, none, smooth=smooth) == 0
        assert jnp.isfinite(jax.grad(lambda p, s=smooth: dice(p, none, smooth=s).sum())(none)).all()
    assert dice(one, none, smooth=0.0) == 1


def test_where_is_a_mask_of_pixels():
    keep = RNG.uniform(size=(2, 4, 5)) < 0.6
    probs, target = jnp.asarray(PROBS, jnp.float32), jnp.asarray(TARGET, jnp.float32)
    spoilt = jnp.where(keep[..., None], probs, jnp.nan)
    for row in range(2):
        alone = dice(probs[row][keep[row]][None], target[row][keep[row]][None])
        np.testing.assert_allclose(dice(spoilt, target, where=keep)[row], alone[0], rtol=1e-5)
    gradient = jax.grad(lambda p: dice(p, target, where=keep).sum())(spoilt)
    np.testing.assert_array_equal(gradient[~keep], 0)
    assert jnp.isfinite(gradient).all()
    assert dice(probs.astype(jnp.bfloat16), target).dtype == jnp.float32


def test_refusals():
    p = jnp.asarray(PROBS)
    with pytest.raises(ShapeError, match="target must have shape"):
        dice(p, p[..., 0])
    with pytest.raises(ShapeError, match="probs must have shape"):
        dice(jnp.zeros(4), jnp.zeros(4))
    with pytest.raises(ShapeError, match="where must have shape"):
        dice(p, p, where=jnp.ones((2, 3), bool))
    with pytest.raises(ValueError, match="must be 0 or more"):
        tversky(p, p, alpha=-1.0, beta=1.0)
