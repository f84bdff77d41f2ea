"""The order of examples as a pure function of (seed, step): there is no loader state to save, seek or lose.

`permute` is a random-access permutation, a Feistel network on a grid: write an index as (row, column) of a nearly
square grid, then in turn shift the row by a hash of the column and the column by a hash of the row.  Each shift can be
undone, so the whole is a bijection whatever the hash.  An index that lands on one of the few cells beyond `size` goes
through again until it lands inside.

Source: the generalised Feistel cipher of J. Black, P. Rogaway, Ciphers with Arbitrary Finite Domains, 2002.
https://web.cs.ucdavis.edu/~rogaway/papers/subset.pdf
"""

import functools
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import DtypeError, ShapeError, describe, require_integer

ROUNDS = 16  # measured: the fewest, in fours, that make all orders of 2 to 8 examples equally likely
LARGEST = 2**31 - 1  # what an int32 index can name
GOLDEN = np.uint32(0x9E3779B9)


def steps_per_epoch(size: int, batch: int) -> int:
    """How many whole batches size examples make.  Raises ValueError for no examples, batch < 1 or batch > size."""
    size, batch = operator.index(size), operator.index(batch)
    if size < 1:
        raise ValueError(f"the data set must hold at least one example, got {size}; look at how it was loaded or split")
    if size > LARGEST:
        raise ValueError(f"size must be at most {LARGEST}, which int32 can index, got {size}; split the data set")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if batch > size:
        raise ValueError(f"batch must be at most the number of examples, {size}, got {batch}; take a smaller batch")
    return size // batch


def indices(seed: int | jax.Array, step: Any, *, size: int, batch: int) -> Any:
    """Which examples batch number `step` holds.  () -> int32 (batch,)

    Every epoch is a permutation without replacement; the size % batch examples left over are others in each epoch.
    Python and NumPy numbers give a NumPy array, JAX ones a JAX array, with equal bits.  A traced step must be >= 0.
    """
    per_epoch = steps_per_epoch(size, batch)
    epoch, position = _divide(step, per_epoch)
    return permute(position * np.uint32(batch) + np.arange(batch, dtype=np.uint32), size, seed, epoch)


def permute(index: Any, size: int, seed: int | jax.Array = 0, epoch: Any = 0) -> Any:
    """Where the permutation of range(size) named by (seed, epoch) sends index.  int (...) -> int32 (...)

    index lies in range(size).  seed is an int of up to 64 bits, or uint32 of shape () or (2,) with the low word first.
    """
    steps_per_epoch(size, 1)
    require_integer(index, "index")
    words = seed_words(seed)
    if any(isinstance(value, jax.Array) for value in (index, epoch, words)):
        return _traced(jnp.asarray(index).astype(jnp.uint32), words, jnp.asarray(epoch).astype(jnp.uint32), size)
    with np.errstate(over="ignore"):  # uint32 is meant to wrap, of which NumPy warns for scalars
        index = np.asarray(index).astype(np.uint32)
        turn = functools.partial(_turn, keys=_round_keys(words, np.asarray(epoch).astype(np.uint32)), size=size)
        index = turn(index)
        while (index >= size).any():
            index = np.where(index < size, index, turn(index))
        return np.asarray(index, np.int32)


@functools.partial(jax.jit, static_argnames="size")
def _traced(index: jax.Array, words: Any, epoch: jax.Array, size: int) -> jax.Array:
    turn = functools.partial(_turn, keys=_round_keys(jnp.asarray(words), epoch), size=size)
    bound = np.uint32(size)
    walk = lambda at: jnp.where(at < bound, at, turn(at))
    return jax.lax.while_loop(lambda at: (at >= bound).any(), walk, turn(index)).astype(jnp.int32)


def _turn(index: Any, *, keys: tuple, size: int) -> Any:
    """Once through the network, on a grid of at least size and at most size + 2 rows cells."""
    rows, columns = map(np.uint32, _grid(size))
    row, column = index // columns, index % columns
    for i, (before, after) in enumerate(zip(*keys)):
        if i % 2:
            column = (column + (_mix(row + before) ^ after) % columns) % columns
        else:
            row = (row + (_mix(column + before) ^ after) % rows) % rows
    return row * columns + column


def _grid(size: int) -> tuple[int, int]:
    """Rows and columns, nearly equal and not both odd: shifts along odd lines make even permutations only."""
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    return rows, columns + rows * columns % 2


def _round_keys(words: Any, epoch: Any) -> tuple:
    """Two words for each round.  For one seed no two epochs, and in one epoch no two seeds, share them."""
    low, high = words[0], words[1]
    before = _mix(_mix(low + GOLDEN) ^ epoch)
    after = _mix(_mix(high + _mix(low ^ GOLDEN)) + epoch)
    rounds = [np.uint32(i * int(GOLDEN) % 2**32) for i in range(ROUNDS)]
    return tuple(_mix(before + i) for i in rounds), tuple(_mix(after + i) for i in rounds)


def _mix(x: Any) -> Any:
    """MurmurHash3's finaliser, a bijection of uint32.  https://github.com/aappleby/smhasher (public domain)"""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def seed_words(seed: Any) -> Any:
    """The seed as two uint32 words, low and high."""
    if isinstance(seed, int | np.integer):
        if not -(2**63) <= int(seed) < 2**64:
            raise ValueError(f"seed must fit in 64 bits, got {seed}; reduce it, e.g. seed % 2**64")
        return np.array([int(seed) & 0xFFFFFFFF, int(seed) >> 32 & 0xFFFFFFFF], np.uint32)
    if getattr(seed, "dtype", None) != np.uint32:
        raise DtypeError(f"seed must be a Python int or a uint32 array, got {describe(seed)}")
    if seed.shape not in ((), (2,)):
        raise ShapeError(f"seed must have shape () or (2,), got {seed.shape}; map over many seeds with jax.vmap")
    return seed if seed.shape else (jnp if isinstance(seed, jax.Array) else np).stack([seed, np.uint32(0)])


def _divide(step: Any, per_epoch: int) -> tuple:
    """(epoch, step within it).  uint32 holds both for every step of either int32 or uint32; int64 keeps its width."""
    if isinstance(step, int | np.integer):
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        epoch, position = divmod(int(step), per_epoch)
        return np.uint32(epoch % 2**32), np.uint32(position)
    require_integer(step, "step")
    step = step.astype(jnp.uint64 if step.dtype.itemsize == 8 else jnp.uint32)
    per = jnp.asarray(per_epoch, step.dtype)
    return (step // per).astype(jnp.uint32), (step % per).astype(jnp.uint32)
