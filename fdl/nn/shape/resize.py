"""Images with more pixels."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import require_float, require_shape
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.window import per_axis
from fdl.tree import widen


@layer
def upsample(
    factor: int | Sequence[int], method: Literal["nearest", "bilinear"] = "nearest", *, align_corners: bool = False
) -> Layer:
    """Space a whole number of times as large: pixels repeated, or linear between them along each axis.

    (batch, *space, dim) -> (batch, *(factor * space), dim).  Pixels are squares, whose centres are interpolated, and
    the border continues as it is; with align_corners=True they are points, and the corners stay where they are.
    """
    if method not in ("nearest", "bilinear"):
        raise ValueError(f'method must be "nearest" or "bilinear", got {method!r}')
    if align_corners and method == "nearest":
        raise ValueError('align_corners speaks of interpolation; it needs method="bilinear"')

    def apply(params, x):
        require_shape(x, None, None, ..., None)
        if method == "bilinear":
            require_float(x)
        y = widen(x) if method == "bilinear" else x
        for axis, times in enumerate(per_axis(factor, x.ndim - 2, "factor"), start=1):
            if method == "nearest":
                y = jnp.repeat(y, times, axis)
            else:
                y = _interpolate(y, axis, _weights(x.shape[axis], times, align_corners))
        return y.astype(x.dtype)

    return pure(lambda key: {}, apply)


def _interpolate(x: jax.Array, axis: int, weights: np.ndarray) -> jax.Array:
    y = jnp.tensordot(x, jnp.asarray(weights, x.dtype), (axis, 1), precision="highest")
    return jnp.moveaxis(y, -1, axis)


def _weights(size: int, times: int, align_corners: bool) -> np.ndarray:
    """What each pixel gives to each new one, (new, old): a hat of width one around the place of the new one."""
    if align_corners:
        place = np.linspace(0, size - 1, size * times)
    else:
        place = np.clip((np.arange(size * times) + 0.5) / times - 0.5, 0, size - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(size)[None]), 0)
