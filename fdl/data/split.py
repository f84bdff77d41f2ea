"""Parts of a data set, and the moments that are fitted on one part and applied to all."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError
from fdl.data.examples import count_examples, take
from fdl.data.order import permute

CHUNK = 2**20  # elements cast to float64 at once


class Moments(NamedTuple):
    """Mean and standard deviation, float32, in the units of the data, of a shape that broadcasts over one example."""

    mean: np.ndarray
    std: np.ndarray


def hold_out(examples: Any, count: int) -> tuple[Any, Any]:
    """(rest, held): the last `count` examples apart from those before them.  Raises ValueError if either were empty."""
    size = count_examples(examples)
    if not 0 < count < size:
        raise ValueError(f"count must leave both parts an example: 1 to {size - 1} of {size}, got {count}")
    cut = size - count
    return jax.tree.map(lambda leaf: leaf[:cut], examples), jax.tree.map(lambda leaf: leaf[cut:], examples)


def split(examples: Any, *sizes: int, seed: int) -> tuple[Any, ...]:
    """Random disjoint parts of these sizes; what is beyond their sum is left out.  Equal seeds give equal parts."""
    size = count_examples(examples)
    if not sizes or min(sizes) < 1 or sum(sizes) > size:
        raise ValueError(f"sizes must each be at least 1 and sum to at most the {size} examples, got {sizes}")
    rows = permute(np.arange(sum(sizes)), size, seed)
    return tuple(take(examples, part) for part in np.split(rows, np.cumsum(sizes)[:-1]))


def k_folds(examples: Any, count: int, *, seed: int) -> Iterator[tuple[Any, Any]]:
    """(rest, held) for each of `count` random folds: every example is held once, and folds differ by one at most.

    Equal seeds give equal folds.  Raises ValueError unless 2 <= count <= the number of examples.
    """
    size = count_examples(examples)
    if not 2 <= count <= size:
        raise ValueError(f"count must lie in [2, {size}], the number of examples, got {count}")
    folds = np.array_split(permute(np.arange(size), size, seed), count)
    rest = lambda i: np.concatenate(folds[:i] + folds[i + 1 :])
    return ((take(examples, rest(i)), take(examples, fold)) for i, fold in enumerate(folds))


def fit_moments(x: Any, axis: int | tuple[int, ...] = 0) -> Moments:
    """Mean and standard deviation over these axes, which must hold axis 0, the examples.  (n, ...) -> that of (...)

    axis=0 is each pixel on its own; (0, 1, 2) of (n, height, width, dim) is each channel.  Accumulated in float64, a
    chunk at a time, in two passes.  A standard deviation of 0 becomes 1, so `standardise` makes a constant pixel 0.
    """
    x = np.asarray(x)
    axes = tuple(i % x.ndim for i in np.atleast_1d(axis)) if x.ndim else ()
    if 0 not in axes or not x.size:
        raise ShapeError(f"moments are over axis 0, the examples, of at least one; got axis {axis} of shape {x.shape}")
    rows = max(1, CHUNK // max(1, x[0].size))
    chunks = [x[i : i + rows] for i in range(0, len(x), rows)]  # views
    count = math.prod(x.shape[i] for i in axes)
    mean = np.sum([chunk.sum(axis=axes, keepdims=True, dtype=np.float64) for chunk in chunks], axis=0) / count
    var = np.sum([np.square(chunk - mean).sum(axis=axes, keepdims=True) for chunk in chunks], axis=0) / count
    std = np.where(var == 0, 1, np.sqrt(var))
    return Moments(mean[0].astype(np.float32), std[0].astype(np.float32))


def standardise(x: Any, moments: Moments) -> Any:
    """(x - mean) / std, of one example or a batch, NumPy or JAX; integers become float32 first.  (...) -> same shape"""
    xp = np if isinstance(x, np.ndarray) else jnp
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(np.float32)
    mean, std = (xp.broadcast_to(xp.asarray(value, x.dtype), x.shape) for value in moments)
    return (x - mean) / std
