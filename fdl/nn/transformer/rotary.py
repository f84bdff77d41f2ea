"""Rotary positions: pairs of channels turn with position, so that a product of two depends on their distance alone."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_shape
from fdl.recipe import Function, recipe
from fdl.tree import widen


@recipe(Function)
def rotary(base: float = 10000.0, *, interleaved: bool = False, scaling: Function | None = None) -> Any:
    """rotate(x, positions): pair i of the channels turned by position * base ** (-2 i / head_dim).

    x (batch, time, heads, head_dim), int positions (batch or 1, time) -> same shape  https://arxiv.org/abs/2104.09864
    A pair is channels i and i + head_dim / 2, as in GPT-NeoX and Llama; interleaved=True pairs 2 i with 2 i + 1, as the
    paper and GPT-J do.  scaling changes the frequencies, see `ntk_by_parts`.  Raises ShapeError for odd head_dim.
    """

    def rotate(x, positions):
        require_shape(x, None, None, None, None, name="x", hint="rotary turns (batch, time, heads, head_dim)")
        half, odd = divmod(x.shape[-1], 2)
        if odd:
            raise ShapeError(f"rotary turns pairs of channels, so head_dim must be even, got {x.shape[-1]}")
        wide = widen(x)
        frequencies = frequencies_of(half, base, wide.dtype)
        frequencies = scaling(frequencies) if scaling else frequencies
        angles = positions.astype(wide.dtype)[..., None, None] * frequencies[None, None, None]
        pairs = wide.reshape(*x.shape[:-1], *((half, 2) if interleaved else (2, half)))
        axis = -1 if interleaved else -2
        a, b = jnp.take(pairs, 0, axis), jnp.take(pairs, 1, axis)
        turned = a * jnp.cos(angles) - b * jnp.sin(angles), a * jnp.sin(angles) + b * jnp.cos(angles)
        return jnp.stack(turned, axis).reshape(x.shape).astype(x.dtype)

    return rotate


@recipe(Function)
def ntk_by_parts(factor: float = 8.0, context: int = 8192, *, low: float = 1.0, high: float = 4.0) -> Any:
    """Frequencies for a context `factor` times the one trained on: slow ones divided by factor, fast ones as they are.

    Slow turns fewer than `low` times within the old context, fast more than `high` times; between them linear in the
    number of turns.  The defaults are those of Llama 3.1; YaRN (https://arxiv.org/abs/2309.00071) has high=32 and
    multiplies queries and keys by 0.1 log(factor) + 1 besides.
    """
    if not 0 <= low < high:
        raise ValueError(f"low must be below high, got {low} and {high}")

    def scale(frequencies: jax.Array) -> jax.Array:
        turns = context / (2 * math.pi) * frequencies
        kept = jnp.clip((turns - low) / (high - low), 0, 1)
        return frequencies * ((1 - kept) / factor + kept)

    return scale


def frequencies_of(count: int, base: float, dtype: Any) -> jax.Array:
    """Angles a position: count of them, falling geometrically from 1 to nearly 1 / base."""
    return base ** (-jnp.arange(count, dtype=dtype) / count)
