"""No free lunch: over all targets, what a learner says of examples it has not seen is right half of the time.

A learner is a function (x, labels, seen) -> guesses of float (m, bits), bool (m,), bool (m,) -> bool (m,).  Labels that
are not seen are given as False.  Wolpert 1996, The Lack of A Priori Distinctions Between Learning Algorithms.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_shape
from fdl.models.threshold import all_inputs

Learner: TypeAlias = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def all_targets(bits: int) -> jax.Array:
    """Every Boolean function by its values at `all_inputs`.  () -> bool (2^2^bits, 2^bits)

    Raises ValueError for more than 4 bits: of 5 there are 4,294,967,296.
    """
    if not 1 <= bits <= 4:
        raise ValueError(f"all functions of 1 to 4 bits can be listed, got {bits}")
    return all_inputs(2**bits)


def all_splits(bits: int) -> jax.Array:
    """Every training set but the empty one and that of all inputs.  () -> bool (2^2^bits - 2, 2^bits)"""
    return all_targets(bits)[1:-1]


def right_off_training(learner: Learner, targets: jax.Array, splits: jax.Array) -> jax.Array:
    """For each split, how many guesses off the training set are right, added up over the targets.

    bool (targets, 2^bits), bool (splits, 2^bits) -> int (splits,).  Of splits with u unseen inputs there are
    targets · u guesses.
    """
    require_shape(splits, None, targets.shape[-1], name="splits")
    bits = targets.shape[-1].bit_length() - 1
    if targets.shape[-1] != 2**bits:
        raise ShapeError(f"targets must have a value for each pattern of inputs, got {targets.shape}")
    x = all_inputs(bits).astype(float)

    def right(target, seen):
        guesses = learner(x, target & seen, seen)
        return jnp.sum((guesses == target) & ~seen)

    return jax.lax.map(lambda seen: jax.vmap(right, (0, None))(targets, seen).sum(), splits)


def majority(x: jax.Array, labels: jax.Array, seen: jax.Array) -> jax.Array:
    """What most of the seen labels are, everywhere; False for a tie.  A learner"""
    return jnp.full(len(x), 2 * labels.sum() > seen.sum())


def nearest_neighbour(x: jax.Array, labels: jax.Array, seen: jax.Array) -> jax.Array:
    """The label of the nearest seen example, the first of equally near ones.  A learner"""
    distance = jnp.abs(x[:, None] - x[None]).sum(-1)
    return labels[jnp.argmin(jnp.where(seen[None], distance, jnp.inf), -1)]
