"""What a unit sees: how much each pixel can move it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import ShapeError, require_float, require_shape


def receptive_field(
    f: Callable[[jax.Array], jax.Array], x: jax.Array, place: tuple[int, int] | None = None
) -> jax.Array:
    """The mean over the batch of |d unit / d pixel|, summed over the channels of both.  -> (height, width)

    f takes images (batch, height, width, dim) to maps (batch, rows, columns, out_dim), each image by itself; the unit
    is at place (row, column), by default in the middle.  This is the effective field of Luo et al. 2017,
    https://arxiv.org/abs/1701.04128; where it is not zero is the theoretical one, if x leaves no unit on the way dead.
    Raises ShapeError for other shapes and for a place outside of the map.
    """
    require_float(x, "x")
    require_shape(x, None, None, None, None, name="x")
    _, rows, columns, _ = _map_of(f, x)
    row, column = (rows // 2, columns // 2) if place is None else place
    if not (0 <= row < rows and 0 <= column < columns):
        raise ShapeError(f"place must lie within the map of {rows} x {columns} units, got {(row, column)}")
    by_channel = jax.jacrev(lambda x: f(x)[:, row, column].sum(0))(x)
    return jnp.abs(by_channel).sum((0, 4)).mean(0)


def extent(field: jax.Array | np.ndarray, share: float = 0.0) -> tuple[int, int]:
    """Height and width of the smallest box outside of which nothing exceeds `share` of the largest value."""
    field = np.asarray(field)
    seen = field > share * field.max()
    spans = [np.flatnonzero(seen.any(axis)) for axis in (1, 0)]
    height, width = (int(span[-1] - span[0] + 1) if span.size else 0 for span in spans)
    return height, width


def _map_of(f: Callable, x: jax.Array) -> tuple[int, ...]:
    shape = jax.eval_shape(f, x).shape
    if len(shape) != 4:
        raise ShapeError(f"f must make maps (batch, rows, columns, dim) of images, got shape {shape}")
    return shape
