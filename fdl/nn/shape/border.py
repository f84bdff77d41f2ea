"""Cells added around space, and taken away."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_shape
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.window import padding_pairs

Mode = Literal["zero", "reflect", "replicate", "circular"]
Widths = int | Sequence[int | tuple[int, int]]
MODES = {"zero": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@layer
def pad(widths: Widths, mode: Mode = "zero") -> Layer:
    """Cells around space: zeros, its mirror image without the edge, the edge itself, or the opposite side.

    (batch, *space, dim) -> (batch, *wider, dim).  A number for all axes, or a number or (low, high) an axis of space.
    Raises ShapeError for "reflect" as wide as the space and for "circular" wider than it.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")

    def apply(params, x):
        pairs = _pairs(x, widths)
        slack = {"reflect": 1, "circular": 0}.get(mode)
        if slack is not None and any(max(pair) > n - slack for n, pair in zip(x.shape[1:-1], pairs)):
            wanted = "smaller than the space" if slack else "no larger than the space"
            raise ShapeError(f"the widths of mode {mode!r} must be {wanted}, got {widths} around {x.shape}")
        return jnp.pad(x, ((0, 0), *pairs, (0, 0)), MODES[mode])

    return pure(lambda key: {}, apply)


@layer
def crop(widths: Widths) -> Layer:
    """Space without the cells at its border, the inverse of `pad`.  (batch, *space, dim) -> (batch, *narrower, dim)

    Raises ShapeError where nothing would be left.
    """

    def apply(params, x):
        pairs = _pairs(x, widths)
        if any(low + high >= n for n, (low, high) in zip(x.shape[1:-1], pairs)):
            raise ShapeError(f"cropping {widths} leaves nothing of input {x.shape}")
        return x[(slice(None), *(slice(low, n - high) for n, (low, high) in zip(x.shape[1:-1], pairs)))]

    return pure(lambda key: {}, apply)


def _pairs(x: jax.Array, widths: Widths) -> tuple[tuple[int, int], ...]:
    """(low, high) for each axis of space."""
    require_shape(x, None, None, ..., None)
    if isinstance(widths, str):
        raise ShapeError(f"widths must be numbers, got {widths!r}")
    space = x.shape[1:-1]
    return padding_pairs(widths, space, space, space, space)
