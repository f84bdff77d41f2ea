"""Losses between vectors: over the last axis, and with finite gradients where vectors are zero or coincide."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, describe, require_float, require_mask, require_shape
from fdl.losses.classification import cross_entropy
from fdl.losses.inputs import keep_only, require_pair, widen


def cosine_similarity(x: ArrayLike, y: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """The cosine of the angle between x and y, 0 with gradient 0 where either is zero.  (..., dim) x 2 -> (...)"""
    x, y, _ = _vectors(x, y, where)
    return jnp.sum(_unit(x) * _unit(y), axis=-1)


def cosine_distance(x: ArrayLike, y: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - cosine_similarity: 0 for one direction, 2 for opposite ones, 1 if either is zero.  (..., dim) x 2 -> (...)"""
    loss = 1 - cosine_similarity(x, y, where=where)
    return loss if where is None else jnp.where(jnp.asarray(where), loss, 0)


def triplet(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """max(0, |anchor - positive| - |anchor - negative| + margin), Euclidean.  (..., dim) x 3 -> (...)

    A distance of 0 has the gradient 0.  https://arxiv.org/abs/1503.03832, whose distances are squared.
    """
    require_float(negative, "negative")
    require_shape(negative, *jnp.shape(anchor), name="negative", hint="it must be that of anchor and positive")
    anchor, positive, keep = _vectors(anchor, positive, where)
    (negative,) = keep_only(keep, jnp.asarray(negative))
    anchor, positive, negative = widen(anchor, positive, negative)
    loss = jax.nn.relu(_length(anchor - positive) - _length(anchor - negative) + margin)
    return loss if keep is None else jnp.where(keep, loss, 0)


def contrastive(
    x: ArrayLike, y: ArrayLike, same: ArrayLike, *, margin: float = 1.0, where: ArrayLike | None = None
) -> jax.Array:
    """½ d² for pairs that are the same, ½ max(0, margin - d)² for others, with d = |x - y|.

    (..., dim), (..., dim), bool (...) -> (...)

    A pair of others that coincides has the gradient 0.  Hadsell, Chopra and LeCun 2006, Dimensionality Reduction by
    Learning an Invariant Mapping.
    """
    x, y, keep = _vectors(x, y, where)
    if jnp.result_type(same) != jnp.bool_:
        raise DtypeError(f"same must be boolean, got {describe(same)}; compare labels, e.g. a == b")
    require_shape(same, *x.shape[:-1], name="same", hint="one for every pair")
    apart = jnp.square(jax.nn.relu(margin - _length(x - y)))
    loss = jnp.where(jnp.asarray(same), jnp.sum(jnp.square(x - y), axis=-1), apart) / 2
    return loss if keep is None else jnp.where(keep, loss, 0)


def nt_xent(
    first: ArrayLike, second: ArrayLike, *, temperature: float = 0.5, where: ArrayLike | None = None
) -> jax.Array:
    """Cross entropy of finding each view's partner among the other 2 batch - 1 views by cosine / temperature, in nats.

    (batch, dim), (batch, dim) -> (batch,)

    first[i] and second[i] are two views of example i, and value i is the mean of both.  Examples left out by `where`
    are nobody's negatives either.  The value of one example depends on its batch.  https://arxiv.org/abs/2002.05709
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; the paper's are 0.1 to 1")
    require_shape(first, None, None, name="first", hint="one row per example")
    first, second, keep = _vectors(first, second, where)
    batch = first.shape[0]
    views = _unit(jnp.concatenate([first, second]))
    keep = jnp.ones(batch, bool) if keep is None else keep
    kept = jnp.concatenate([keep, keep])
    logits = jnp.matmul(views, views.T, precision="highest") / temperature
    logits = jnp.where(kept[None, :] & ~jnp.eye(2 * batch, dtype=bool), logits, -jnp.inf)
    partner = jnp.roll(jnp.arange(2 * batch), batch)
    # one pair alone has only its partner to choose
    return jnp.mean(cross_entropy(logits, partner, where=kept).reshape(2, batch), axis=0)


def _vectors(x: ArrayLike, y: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    require_pair(x, y, "the first")
    require_shape(x, ..., None, name="the first")
    keep = require_mask(where, jnp.shape(x)[:-1])
    x, y = keep_only(keep, *widen(x, y))
    return x, y, keep


def _unit(x: jax.Array) -> jax.Array:
    """x / |x|, 0 with gradient 0 for the zero vector; no square overflows or vanishes."""
    # Which constant x is divided by first changes neither the value nor the gradient.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0))
    zero = largest == 0
    x = jnp.where(zero, 0, x / jnp.where(zero, 1, largest))
    return x / jnp.where(zero, 1, _length(x)[..., None])


def _length(x: jax.Array) -> jax.Array:
    """|x| over the last axis, with gradient 0 at 0."""
    square = jnp.sum(jnp.square(x), axis=-1)
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
