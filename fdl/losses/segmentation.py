"""Losses of overlap: per example and class, from probabilities of every pixel."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask, require_shape
from fdl.losses.inputs import keep_only, promote, require_pair


def dice(probs: ArrayLike, target: ArrayLike, *, smooth: float = 1.0, where: ArrayLike | None = None) -> jax.Array:
    """1 - (2 Σ p t + smooth) / (Σ p + Σ t + smooth) over the pixels.  (batch, ..., classes) x 2 -> (batch, classes)

    probs are sigmoid or softmax of the logits; target is 0 or 1 (or between), one-hot over the classes.  `where` says
    which pixels count, bool (batch, ...).  A class that is neither there nor predicted has the loss 0.
    https://arxiv.org/abs/1606.04797, with sums in place of squares below.
    """
    return tversky(probs, target, alpha=0.5, beta=0.5, smooth=smooth / 2, where=where)


def generalized_dice(probs: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - 2 Σ w Σ p t / Σ w (Σ p + Σ t) over the classes, with w = 1 / (Σ t)².  (batch, ..., classes) x 2 -> (batch,)

    The weights make a small class count as much as a large one; a class that is not there has the weight of the
    smallest that is.  Arguments as for `dice`.  https://arxiv.org/abs/1707.03237
    """
    probs, target, total = _pixels(probs, target, where)
    size = total(target)
    smallest = jnp.min(jnp.where(size > 0, size, jnp.inf), axis=-1, keepdims=True)
    there = (size > 0) & jnp.isfinite(smallest)
    # Relative to the smallest class: squares of inverses of pixel counts would leave the range of float32.
    weight = jnp.where(there, jnp.square(smallest / jnp.where(there, size, 1)), 1)
    hits = jnp.sum(weight * total(probs * target), axis=-1)
    both = jnp.sum(weight * (total(probs) + total(target)), axis=-1)
    empty = both == 0
    return jnp.where(empty, 0, 1 - 2 * hits / jnp.where(empty, 1, both))


def tversky(
    probs: ArrayLike,
    target: ArrayLike,
    *,
    alpha: float,
    beta: float,
    smooth: float = 1.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), with TP = Σ p t, FP = Σ p (1 - t), FN = Σ (1 - p) t.

    (batch, ..., classes) x 2 -> (batch, classes)

    alpha is the price of pixels too many, beta that of missed ones.  Arguments as for `dice`.
    https://arxiv.org/abs/1706.05721
    """
    if min(alpha, beta, smooth) < 0:
        raise ValueError(f"alpha, beta and smooth must be 0 or more, got {alpha}, {beta}, {smooth}")
    probs, target, total = _pixels(probs, target, where)
    hits = total(probs * target)
    missed = alpha * total(probs * (1 - target)) + beta * total((1 - probs) * target)
    size = hits + missed + smooth
    empty = size == 0
    return jnp.where(empty, 0, missed / jnp.where(empty, 1, size))


def _pixels(probs: ArrayLike, target: ArrayLike, where: ArrayLike | None):
    """Both, 0 where masked, and the sum over pixels.  (batch, ..., classes) x 2"""
    require_pair(probs, target, "probs")
    hint = "a batch of masks of one class is (batch, height, width, 1)"
    require_shape(probs, None, ..., None, name="probs", hint=hint)
    keep = require_mask(where, jnp.shape(probs)[:-1])
    total = lambda x: jnp.sum(x, axis=tuple(range(1, x.ndim - 1)))
    return *keep_only(keep, *promote(probs, target)), total
