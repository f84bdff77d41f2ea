"""Windows of an image side by side (im2col), and the sum of windows back into an image."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.cells import pad_space, taps
from fdl.nn.pooling.window import Padding, padding_pairs, per_axis, positions
from fdl.tree import widen

Size = int | Sequence[int]


class Grid(NamedTuple):
    """Where windows lie on space; everything by axis of space."""

    window: tuple
    stride: tuple
    dilation: tuple
    pads: tuple
    positions: tuple


@layer
def unfold(window: Size, *, stride: Size = 1, dilation: Size = 1, padding: Padding = "valid") -> Layer:
    """What each window sees, cells of the window first, channels last.

    (batch, *space, dim) -> (batch, *positions, cells * dim); times a kernel (*window, dim, out) reshaped to
    (cells * dim, out) this is a convolution.  torch's layout is (batch, dim * cells, positions).
    Raises ShapeError where the window does not fit.
    """
    return pure(lambda key: {}, lambda params, x: windows_of(x, window, stride, dilation, padding))


@layer
def fold(
    space: Sequence[int], window: Size, *, stride: Size = 1, dilation: Size = 1, padding: Padding = "valid"
) -> Layer:
    """Windows added up where they lie on an image of this space: the transpose of `unfold`, not its inverse.

    (batch, *positions, cells * dim) -> (batch, *space, dim).  Raises ShapeError for positions other than those of
    unfold with the same arguments.
    """
    grid = _grid(tuple(space), window, stride, dilation, padding)
    cells = list(itertools.product(*map(range, grid.window)))

    def apply(params, patches):
        require_float(patches, "windows")
        require_shape(patches, None, *grid.positions, None, name="windows", hint=f"these lie on the space {space}")
        if patches.shape[-1] % len(cells):
            raise ShapeError(f"windows of {len(cells)} cells must hold as many times dim values, got {patches.shape}")
        seen = jnp.split(widen(patches), len(cells), -1)
        placed = (_placed(part, cell, tuple(space), grid) for part, cell in zip(seen, cells))
        return sum(placed).astype(patches.dtype)  # pyright: ignore[reportAttributeAccessIssue]

    return pure(lambda key: {}, apply)


def windows_of(x: jax.Array, window: Size, stride: Size, dilation: Size, padding: Padding) -> jax.Array:
    """(batch, *space, dim) -> (batch, *positions, cells * dim)"""
    require_shape(x, None, None, ..., None)
    grid = _grid(x.shape[1:-1], window, stride, dilation, padding)
    return jnp.concatenate(list(taps(pad_space(x, grid.pads), grid.window, grid.stride, grid.dilation)), -1)


def _grid(space: tuple, window: Size, stride: Size, dilation: Size, padding: Padding) -> Grid:
    window, stride, dilation = (
        per_axis(value, len(space), name)
        for value, name in ((window, "window"), (stride, "stride"), (dilation, "dilation"))
    )
    pads = padding_pairs(padding, space, window, stride, dilation)
    return Grid(window, stride, dilation, pads, positions(space, window, stride, dilation, pads))


def _placed(part: jax.Array, cell: tuple, space: tuple, grid: Grid) -> jax.Array:
    """An image that holds what one cell of the window sees at all positions, and zeros between."""
    config = []
    for i, n, count, s, d, (before, _) in zip(cell, space, grid.positions, grid.stride, grid.dilation, grid.pads):
        low = i * d - before
        config.append((low, n - low - (count - 1) * s - 1, s - 1))
    return jax.lax.pad(part, jnp.zeros((), part.dtype), [(0, 0, 0), *config, (0, 0, 0)])
