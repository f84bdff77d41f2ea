"""Losses between vectors: over the last axis, and with finite gradients where vectors are zero or coincide."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, describe, require_float, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair
from fdl.nn.activations.axiswise import unit


def cosine_similarity(x: ArrayLike, y: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """The cosine of the angle between x and y, 0 with gradient 0 where either is zero.  (..., dim) x 2 -> (...)"""
    x, y, _ = vectors(x, y, where)
    return jnp.sum(unit(x) * unit(y), axis=-1)


def cosine_distance(x: ArrayLike, y: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """1 - cosine_similarity: 0 for one direction, 2 for opposite ones, 1 if either is zero.  (..., dim) x 2 -> (...)"""
    x, y, keep = vectors(x, y, where)
    return masked(keep, 1 - jnp.sum(unit(x) * unit(y), axis=-1))


def triplet(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    margin: float = 1.0,
    distance: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin).  (..., dim) x 3 -> (...)

    d is `distance`, (..., dim) x 2 -> (...), such as `cosine_distance`; without one it is Euclidean, and a distance of
    0 has the gradient 0.  https://arxiv.org/abs/1503.03832, whose distances are squared.
    """
    require_float(negative, "negative")
    require_shape(negative, *jnp.shape(anchor), name="negative", hint="it must be that of anchor and positive")
    anchor, positive, keep = vectors(anchor, positive, where)
    (negative,) = keep_only(keep, jnp.asarray(negative))
    anchor, positive, negative = promote(anchor, positive, negative)
    apart = distance or _euclidean
    loss = jax.nn.relu(apart(anchor, positive) - apart(anchor, negative) + margin)
    return masked(keep, loss)


def contrastive(
    x: ArrayLike, y: ArrayLike, same: ArrayLike, *, margin: float = 1.0, where: ArrayLike | None = None
) -> jax.Array:
    """½ d² for pairs that are the same, ½ max(0, margin - d)² for others, with d = |x - y|.

    (..., dim), (..., dim), bool (...) -> (...)

    A pair of others that coincides has the gradient 0.  Hadsell, Chopra and LeCun 2006, Dimensionality Reduction by
    Learning an Invariant Mapping.
    """
    x, y, keep = vectors(x, y, where)
    if jnp.result_type(same) != jnp.bool_:
        raise DtypeError(f"same must be boolean, got {describe(same)}; compare labels, e.g. a == b")
    require_shape(same, *x.shape[:-1], name="same", hint="one for every pair")
    apart = jnp.square(jax.nn.relu(margin - _euclidean(x, y)))
    loss = jnp.where(jnp.asarray(same), jnp.sum(jnp.square(x - y), axis=-1), apart) / 2
    return masked(keep, loss)


def _euclidean(x: jax.Array, y: jax.Array) -> jax.Array:
    """|x - y| over the last axis, with gradient 0 at 0."""
    square = jnp.sum(jnp.square(x - y), axis=-1)
    return jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))


def vectors(
    x: ArrayLike, y: ArrayLike, where: ArrayLike | None, name: str = "the first"
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Both as floats, 0 where masked, and the mask; raises unless both are (..., dim)."""
    require_pair(x, y, name)
    require_shape(x, ..., None, name=name)
    keep = require_mask(where, jnp.shape(x)[:-1])
    x, y = keep_only(keep, *promote(x, y))
    return x, y, keep
