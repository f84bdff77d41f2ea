"""Probabilistic max pooling: in each block of hidden units at most one is on, and the pooled unit is on if one is.

Lee et al. 2009, Convolutional deep belief networks, section 3.3, https://dl.acm.org/doi/10.1145/1553374.1553453.
x holds the inputs I of the hidden units; one is on with probability exp(I) / (1 + sum of exp(I) over its block).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.pooling.window import inner_axes, per_axis, rank_of, tiles
from fdl.tree import widen


def probabilistic_max_pool(x: jax.Array, window: int | Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """Probability that each hidden unit is on, and each pooled unit.

    (batch, *space, dim) -> (batch, *space, dim), (batch, *blocks, dim).  A block is all off with probability
    1 - pooled.  Raises ShapeError where the window does not divide space.
    """
    on = jax.nn.softmax(_choices(x, window))[..., :-1]
    return _hidden(on, x, window), jnp.sum(on, -1).astype(x.dtype)


def sample_probabilistic_max_pool(
    key: jax.Array, x: jax.Array, window: int | Sequence[int]
) -> tuple[jax.Array, jax.Array]:
    """States drawn for the hidden units and the pooled ones, 0 or 1; shapes are those of `probabilistic_max_pool`."""
    choices = _choices(x, window)
    choice = jax.random.categorical(key, choices)
    on = jax.nn.one_hot(choice, choices.shape[-1], dtype=x.dtype)[..., :-1]
    return _hidden(on, x, window), jnp.sum(on, -1)


def _choices(x, window) -> jax.Array:
    """The log weights of the choices of a block: one of its units or, last, none.  -> (batch, *blocks, dim, choices)"""
    window = per_axis(window, rank_of(x), "window")
    if any(n % w for n, w in zip(x.shape[1:-1], window)):
        raise ShapeError(f"the window must divide space, got window {window} on {x.shape[1:-1]}; crop or pad x")
    blocks = jnp.moveaxis(tiles(widen(x), window), inner_axes(window), range(-len(window), 0))
    units = blocks.reshape(*blocks.shape[: -len(window)], -1)
    return jnp.concatenate([units, jnp.zeros_like(units[..., :1])], axis=-1)


def _hidden(on, x, window) -> jax.Array:
    """The units of each block back in their cells.  (batch, *blocks, dim, units) -> (batch, *space, dim)"""
    window = per_axis(window, rank_of(x), "window")
    blocks = on.reshape(*on.shape[:-1], *window)
    return jnp.moveaxis(blocks, range(-len(window), 0), inner_axes(window)).reshape(x.shape).astype(x.dtype)
