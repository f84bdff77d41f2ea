"""Codes: what a group of units says about an item, as bits."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_shape


def binary_codes(values: ArrayLike, threshold: float = 0.5) -> jax.Array:
    """Which units are above the threshold, for each item.  (..., units) -> bool, same shape

    Get the values of the units by `capture`.
    """
    return jnp.asarray(values) > threshold


def hamming_distances(codes: jax.Array) -> jax.Array:
    """In how many units the codes of two items differ.  bool (items, units) -> int32 (items, items)"""
    require_shape(codes, None, None, name="codes")
    return jnp.sum(codes[:, None] != codes[None], -1, dtype=jnp.int32)


def distinct_codes(codes: jax.Array) -> jax.Array:
    """How many different codes there are.  bool (items, units) -> int32 ()"""
    same = hamming_distances(codes) == 0
    seen_before = jnp.any(jnp.tril(same, -1), -1)
    return jnp.sum(~seen_before, dtype=jnp.int32)
