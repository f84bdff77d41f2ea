"""Pools whose output has a given size, whatever the size of the input.

An axis of n cells has bins i = 0 ... size - 1, which reach from floor(i n / size) to ceil((i + 1) n / size).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.window import max_pool, per_axis, rank_of
from fdl.tree import widen

Size = int | Sequence[int]


@layer
def adaptive_average_pool(size: Size) -> Layer:
    """The mean of each bin, `size` bins along each axis of space.  (batch, *space, dim) -> (batch, *size, dim)

    The bins overlap where size does not divide the axis, as in torch.  Raises ValueError for a size below 1.
    """
    _require_size(size)

    def apply(params, x):
        y = widen(x)
        for axis, bins in enumerate(per_axis(size, rank_of(x), "size"), start=1):
            y = _means(y, axis, bins)
        return y.astype(x.dtype)

    return pure(lambda key: {}, apply)


@layer
def adaptive_max_pool(size: Size) -> Layer:
    """The largest value of each bin, `size` bins along each axis of space.  (batch, *space, dim) -> (batch, *size, dim)

    The bins overlap where size does not divide the axis, as in torch.  Raises ValueError for a size below 1.
    """
    _require_size(size)

    def apply(params, x):
        sizes = per_axis(size, rank_of(x), "size")
        for axis, bins in enumerate(sizes, start=1):
            x = _side_by_side(x, axis, bins)
        return max_pool(x, [n // bins for n, bins in zip(x.shape[1:-1], sizes)])

    return pure(lambda key: {}, apply)


def _require_size(size: Size) -> None:
    if min([size] if isinstance(size, int) else size, default=0) < 1:
        raise ValueError(f"size must be a positive number, or one per axis of space, got {size}")


def _bins(n: int, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """First cell of each bin, and the first after it."""
    i = np.arange(bins)
    return i * n // bins, -(-(i + 1) * n // bins)


def _means(x: jax.Array, axis: int, bins: int) -> jax.Array:
    """The mean of each bin along one axis: of tiles where they fit, else a product with the matrix of weights."""
    n = x.shape[axis]
    if n % bins == 0:
        return jnp.mean(x.reshape(*x.shape[:axis], bins, n // bins, *x.shape[axis + 1 :]), axis + 1)
    first, last = (edge[:, None] for edge in _bins(n, bins))
    weights = ((first <= np.arange(n)) & (np.arange(n) < last)) / (last - first)
    y = jnp.tensordot(x, jnp.asarray(weights, x.dtype), (axis, 1), precision=lax.Precision.HIGHEST)
    return jnp.moveaxis(y, -1, axis)


def _side_by_side(x: jax.Array, axis: int, bins: int) -> jax.Array:
    """The bins along one axis after each other, all of one length: short ones repeat their last cell."""
    n = x.shape[axis]
    if n % bins == 0:
        return x
    first, last = (edge[:, None] for edge in _bins(n, bins))
    cells = np.minimum(first + np.arange((last - first).max()), last - 1)
    return jnp.take(x, cells.reshape(-1), axis=axis, mode="clip")
