"""Max pooling that remembers where the largest cells were, and the way back."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import require_integer, require_shape
from fdl.nn.pooling.cells import pad_space
from fdl.nn.pooling.window import Padding, contest, geometry, max_pool, rank_of

Size = int | Sequence[int]


def max_pool_with_indices(
    x: jax.Array, window: Size, *, stride: Size | None = None, padding: Padding = "valid"
) -> tuple[jax.Array, jax.Array]:
    """The largest cell of each window and its number in space, rows first.

    (batch, *space, dim) -> (batch, *positions, dim), int32 (batch, *positions, dim).  Values are those of max_pool.
    """
    sizes, steps, pads = geometry(x, window, stride, padding)
    space = x.shape[1:-1]
    winner = contest(pad_space(jax.lax.stop_gradient(x), pads, -jnp.inf), sizes, steps)[1].astype(jnp.int32)
    index = jnp.zeros_like(winner)
    for axis, offset in enumerate(jnp.unravel_index(winner, sizes)):
        starts = np.arange(winner.shape[axis + 1], dtype=np.int32) * steps[axis] - pads[axis][0]
        starts = jnp.expand_dims(jnp.asarray(starts, jnp.int32), [a for a in range(winner.ndim) if a != axis + 1])
        # Padding wins only where all is minus infinity; then the first cell of x counts.
        index = index * space[axis] + jnp.maximum(starts + offset.astype(jnp.int32), 0)
    return max_pool(x, window, stride=stride, padding=padding), index


def max_unpool(y: jax.Array, indices: jax.Array, space: Sequence[int]) -> jax.Array:
    """The values put back to their cells, zeros elsewhere.  (batch, *positions, dim), same -> (batch, *space, dim)

    Indices are those of `max_pool_with_indices` on this space; where windows overlap, one of the values of a cell is
    put there.  Indices outside are dropped.  https://arxiv.org/abs/1311.2901, the switches of section 2.1
    """
    rank_of(y)
    require_integer(indices, name="indices")
    require_shape(indices, *y.shape, name="indices", hint="one index per value")
    batch, dim = y.shape[0], y.shape[-1]
    one = lambda values, places: jnp.zeros(math.prod(space), y.dtype).at[places].set(values, mode="drop")
    every = jax.vmap(jax.vmap(one, in_axes=-1, out_axes=-1))
    return every(y.reshape(batch, -1, dim), indices.reshape(batch, -1, dim)).reshape(batch, *space, dim)
