"""Layers that tell a sequence where it is: a row for each position, trained or made of sines, added to the input."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_integer, require_shape
from fdl.nn.initializers import Initializer, normal
from fdl.nn.layer import Layer, layer
from fdl.nn.transformer.cache import Room, advance, beginning
from fdl.nn.transformer.rotary import frequencies_of
from fdl.tree import widen


@layer
def learned_position(
    context: int, dim: int, *, table_init: Initializer = normal(0.02), cache: Room | None = None
) -> Layer:
    """Add the row of a table that belongs to each position.  (batch, time, dim) -> same shape

    Positions are 0, 1, ... unless given as a further input, int (batch, time), as packed sequences need; one beyond
    the context gives NaN.  In a `cached` model they go on from call to call.
    Raises ShapeError for a sequence longer than the context, ValueError for a cache longer than it.
    """
    if cache and cache[1] > context:
        raise ValueError(f"a cache of {cache[1]} positions is longer than the context of {context}")

    def rows(params, positions, x):
        return params["table"].at[positions].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

    return _adding(rows, lambda key: {"table": table_init(key, (context, dim))}, dim, context, cache)


@layer
def sinusoidal_position(dim: int, *, base: float = 10000.0, cache: Room | None = None) -> Layer:
    """Add the `sinusoids` of each position.  (batch, time, dim) -> same shape

    Positions are 0, 1, ... unless given as a further input, int (batch, time), as packed sequences need.
    In a `cached` model they go on from call to call.  Raises ValueError for odd dim.
    """
    _require_pairs(dim)

    def rows(params, positions, x):
        return sinusoids(positions.astype(widen(x).dtype), dim, base=base).astype(x.dtype)

    return _adding(rows, lambda key: {}, dim, None, cache)


def sinusoids(positions: ArrayLike, dim: int, *, base: float = 10000.0) -> jax.Array:
    """sin(position * base ** (-2 i / dim)) as channel 2 i, the cosine as channel 2 i + 1.  (...) -> (..., dim)

    https://arxiv.org/abs/1706.03762, section 3.5.  Positions are integers or real numbers, such as times.
    Raises ValueError for odd dim.
    """
    _require_pairs(dim)
    positions = jnp.asarray(positions)
    real = positions if jnp.issubdtype(positions.dtype, jnp.floating) else positions.astype(jnp.result_type(float))
    wide = widen(real)[..., None]
    angles = wide * jnp.expand_dims(frequencies_of(dim // 2, base, wide.dtype), range(positions.ndim))
    return jnp.stack([jnp.sin(angles), jnp.cos(angles)], -1).reshape(*positions.shape, dim).astype(real.dtype)


def _adding(rows: Callable, init: Callable, dim: int, context: int | None, cache: Room | None) -> Layer:
    """The layer that adds rows(params, positions, x)."""

    def apply(params, state, x, positions=None, *, key=None, train=False):
        require_float(x)
        require_shape(x, None, None, dim)
        own, state = advance(state, cache, x)
        if positions is None:
            if context and x.shape[1] > context:
                raise ShapeError(f"the context is {context} positions, the input has {x.shape[1]}")
            positions = own
        else:
            require_integer(positions, "positions")
            require_shape(positions, *x.shape[:2], name="positions")
        return x + jnp.broadcast_to(rows(params, positions, x), x.shape), state

    return Layer(lambda key: (init(key), beginning(cache)), apply, is_pure=cache is None)


def _require_pairs(dim: int) -> None:
    if dim % 2:
        raise ValueError(f"sines and cosines come in pairs, so dim must be even, got {dim}")
