"""Windows that slide over space: their geometry, and the pools made of what they see.

XLA's own pools are differentiated by select-and-scatter, which is slow on a CPU.  Here a pool is a few element-wise
operations on slices, and so are its derivatives.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError, describe, require_float
from fdl.nn.pooling.cells import pad_space, take, taps
from fdl.tree import widen

MAX_TAPS = 25  # a window of up to so many cells is looked at in one pass
Padding = str | int | Sequence[int | tuple[int, int]]


def max_pool(
    x: jax.Array, window: int | Sequence[int], *, stride: int | Sequence[int] | None = None, padding: Padding = "valid"
) -> jax.Array:
    """The largest cell of each window.  (batch, *space, dim) -> (batch, *positions, dim)

    stride defaults to the window.  Padding is minus infinity.  Among equal cells the first (rows first, as in torch)
    takes the whole gradient.  A window that holds NaN gives NaN.  Raises ShapeError, DtypeError.
    """
    window, stride, pads = geometry(x, window, stride, padding)
    x = pad_space(x, pads, -jnp.inf)
    for along in _passes(window, stride):
        x = _largest(x, *along)
    return x


def average_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] | None = None,
    padding: Padding = "valid",
    count_padding: bool = False,
) -> jax.Array:
    """The mean of each window.  (batch, *space, dim) -> (batch, *positions, dim)

    stride defaults to the window.  Padded cells are left out of the mean, or with count_padding counted as zeros.
    16-bit arrays are summed in float32.  Raises ShapeError, DtypeError.
    """
    window, stride, pads = geometry(x, window, stride, padding)
    total = _total(widen(x), window, stride, pads)
    count = math.prod(window) if count_padding else _counts(x.shape[1:-1], window, stride, pads)[..., None]
    return (total * jnp.broadcast_to(jnp.asarray(1 / count, total.dtype), total.shape)).astype(x.dtype)


def sum_pool(
    x: jax.Array, window: int | Sequence[int], *, stride: int | Sequence[int] | None = None, padding: Padding = "valid"
) -> jax.Array:
    """The sum of each window, in float32 at least inside.  (batch, *space, dim) -> (batch, *positions, dim)

    stride defaults to the window.  Padding is zero.  Raises ShapeError, DtypeError.
    """
    return _total(widen(x), *geometry(x, window, stride, padding)).astype(x.dtype)


def _total(x, window, stride, pads):
    total = pad_space(x, pads)
    for along in _passes(window, stride):
        total = reduce(jnp.add, taps(total, *along, (1,) * len(window)))
    return total


# --- geometry -------------------------------------------------------------------------------------------------------


def per_axis(value: int | Sequence[int], rank: int, name: str) -> tuple[int, ...]:
    """One positive number per axis of space, from one for all or one each."""
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or min(values) < 1:
        raise ShapeError(f"{name} must be a positive number, or {rank} of them, one per axis of space, got {value}")
    return values


def padding_pairs(padding: Padding, space, window, stride, dilation) -> tuple[tuple[int, int], ...]:
    """How many cells to put before and after each axis of space."""
    if padding == "valid":
        return ((0, 0),) * len(space)
    if padding == "same":
        spans = [(w - 1) * d + 1 for w, d in zip(window, dilation)]
        totals = [max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(space, stride, spans)]
        return tuple((total // 2, total - total // 2) for total in totals)
    each = (padding,) * len(space) if isinstance(padding, int) else padding
    if isinstance(each, str) or len(each) != len(space):
        raise ShapeError(f'padding must be "same", "valid", a number, or one entry per axis of space, got {padding!r}')
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in each]
    if any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
        raise ShapeError(f"padding must be numbers or (low, high) pairs, none negative, got {padding}; crop x instead")
    return tuple((low, high) for low, high in pairs)


def positions(space, window, stride, dilation, pads) -> tuple[int, ...]:
    """How many positions the window has along each axis of space.  Raises ShapeError when it has none."""
    axes = zip(space, window, stride, dilation, pads)
    counts = tuple((n + low + high - (w - 1) * d - 1) // s + 1 for n, w, s, d, (low, high) in axes)
    if min(counts) < 1:
        raise ShapeError(
            f"the window must fit into the padded space, got window {tuple(window)} with dilation {tuple(dilation)} on "
            f"space {tuple(space)} with padding {tuple(pads)}; pad more or use a smaller window"
        )
    return counts


def rank_of(x: jax.Array) -> int:
    """The number of axes of space.  Raises ShapeError, DtypeError where x is no (batch, *space, dim) of floats."""
    require_float(x)
    if x.ndim < 3:
        raise ShapeError(f"input must be (batch, *space, dim), got {describe(x)}; add the missing axis with x[None]")
    return x.ndim - 2


def geometry(x, window, stride, padding):
    """Window, stride and padding per axis of space.  Raises ShapeError, DtypeError where they do not suit x."""
    rank = rank_of(x)
    window = per_axis(window, rank, "window")
    stride = window if stride is None else per_axis(stride, rank, "stride")
    pads = padding_pairs(padding, x.shape[1:-1], window, stride, (1,) * rank)
    positions(x.shape[1:-1], window, stride, (1,) * rank, pads)
    if any(max(pair) >= w for pair, w in zip(pads, window)):
        raise ShapeError(f"padding must be smaller than the window, got padding {pads} and window {window}")
    return window, stride, pads


def _passes(window, stride) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """A small window at once, a large one along one axis after another, the last first: pools are separable.

    Rows of rows keep the order of cells, so the first of equal ones stays the first.
    """
    if math.prod(window) <= MAX_TAPS:
        yield window, stride
        return
    for axis in reversed(range(len(window))):
        alone = lambda values, axis=axis: tuple(v if a == axis else 1 for a, v in enumerate(values))
        yield alone(window), alone(stride)


def _counts(space, window, stride, pads) -> np.ndarray:
    """How many cells of x each window holds."""
    counts = np.ones(())
    for n, w, s, (low, high) in zip(space, window, stride, pads):
        starts = np.arange(-low, n + high - w + 1, s)
        counts = np.multiply.outer(counts, np.minimum(starts + w, n) - np.maximum(starts, 0))
    return counts


# --- the largest cell -----------------------------------------------------------------------------------------------


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _largest(x, window, stride):
    return contest(x, window, stride)[0]


@_largest.defjvp
def _largest_jvp(window, stride, primals, tangents):
    y, winner = contest(primals[0], window, stride)
    if stride == window:
        (dx,), inner = tangents, inner_axes(window)
        won = jnp.expand_dims(winner, inner) == _cell_numbers(window)
        return y, jnp.sum(jnp.where(won, tiles(dx, window), 0), inner)
    return y, take(tangents[0], winner, window, stride)


def contest(x, window, stride):
    """The largest cell of each window, and its number."""
    if stride == window:
        # Reductions, whose results are kept: element-wise code would be computed again in each use of it.
        cells, inner = tiles(x, window), inner_axes(window)
        best = jnp.max(cells, inner)
        largest = (cells == jnp.expand_dims(best, inner)) | jnp.isnan(cells)
        numbers = jnp.broadcast_to(_cell_numbers(window), cells.shape)
        return best, jnp.min(jnp.where(largest, numbers, math.prod(window)), inner)
    first, *others = taps(x, window, stride, (1,) * len(window))
    best, winner = first, jnp.zeros(first.shape, jnp.int8 if math.prod(window) < 128 else jnp.int32)
    for cell, tap in enumerate(others, start=1):
        better = (tap > best) | (jnp.isnan(tap) & ~jnp.isnan(best))
        best, winner = jnp.where(better, tap, best), jnp.where(better, jnp.asarray(cell, winner.dtype), winner)
    return best, winner


def tiles(x, window):
    """(batch, *space, dim) -> (batch, tiles, cells, tiles, cells, ..., dim); what fills no tile is cut off."""
    counts = [n // w for n, w in zip(x.shape[1:-1], window)]
    x = x[(slice(None), *(slice(n * w) for n, w in zip(counts, window)))]
    return x.reshape(x.shape[0], *itertools.chain(*zip(counts, window)), x.shape[-1])


def inner_axes(window) -> tuple[int, ...]:
    """The axes of `tiles` along which the cells of one tile lie."""
    return tuple(range(2, 2 * len(window) + 1, 2))


def _cell_numbers(window) -> jax.Array:
    """0, 1, ... along the cells of a tile, rows first, in the axes of `tiles`."""
    numbers = np.arange(math.prod(window)).reshape(window)
    dtype = jnp.int8 if math.prod(window) < 127 else jnp.int32
    return jnp.asarray(np.expand_dims(numbers, (0, *range(1, 2 * len(window), 2), 2 * len(window) + 1)), dtype)
