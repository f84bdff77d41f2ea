"""Real numbers as integers times a scale: levels at equal distance around 0, as many above as below."""

import jax
import jax.numpy as jnp

from fdl.tree import widen


def to_integers(kernel: jax.Array, bits: int, group: int | None) -> dict[str, jax.Array]:
    """{"int8" or "int4", "scale"} of matrices (*stack, rows, columns): the largest value of a group is the top level.

    A group is so many rows of one column, the whole column for None; scale is (*stack, groups, columns).  A group of
    zeros has scale 0.  int4 has two rows in a byte.
    """
    *stack, rows, columns = kernel.shape
    top = 2 ** (bits - 1) - 1
    grouped = widen(kernel).reshape(*stack, -1, group or max(rows, 1), columns)
    scale = jnp.max(jnp.abs(grouped), -2, initial=0) / top
    levels = jnp.round(grouped / jnp.expand_dims(jnp.where(scale == 0, 1, scale), -2))
    values = jnp.clip(levels, -top, top).astype(jnp.int8).reshape(kernel.shape)
    return {f"int{bits}": _pack(values) if bits == 4 else values, "scale": scale}


def from_integers(leaves: dict[str, jax.Array], rows: int) -> jax.Array:
    """The matrices (*stack, rows, columns) that `to_integers` stands for."""
    values = leaves["int8"].astype(jnp.int8) if "int8" in leaves else _unpack(leaves["int4"].astype(jnp.int8), rows)
    scale = leaves["scale"]
    *stack, groups, columns = scale.shape
    grouped = values.reshape(*stack, groups, rows // groups, columns).astype(scale.dtype)
    return (grouped * jnp.expand_dims(scale, -2)).reshape(values.shape)


def _pack(values: jax.Array) -> jax.Array:
    """Rows 0, 2, ... in the low four bits, rows 1, 3, ... in the high ones."""
    padded = jnp.pad(values, [(0, 0)] * (values.ndim - 2) + [(0, values.shape[-2] % 2), (0, 0)])
    return (padded[..., 1::2, :] << 4) | (padded[..., 0::2, :] & 15)


def _unpack(packed: jax.Array, rows: int) -> jax.Array:
    both = jnp.stack([(packed << 4) >> 4, packed >> 4], -2)  # a shift to the right keeps the sign
    *stack, half, _, columns = both.shape
    return both.reshape(*stack, 2 * half, columns)[..., :rows, :]
