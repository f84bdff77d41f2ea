"""Tensors along their axes: a matrix for each axis, and leaves that are stacks of layers.

A factor of an axis of length n is (n, n), or (n,) where only its diagonal is kept, or None for the identity.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.tree import Tree, Where, select

Factor: TypeAlias = jax.Array | None


def each_layer(rule: Callable[..., tuple], stacked: Where, tree: Tree, *states: Tree) -> tuple[Tree, ...]:
    """rule(array, *own) -> results on every leaf, and on every layer of the leaves stacked along their first axis.

    Returns a tree for each result.  Raises TreeError where a pattern of stacked matches nothing.
    """
    structure = jax.tree.structure(tree)
    flags = jax.tree.leaves(select(tree, stacked))
    columns = map(structure.flatten_up_to, (tree, *states))
    rows = [(jax.vmap(rule) if flag else rule)(*row) for flag, *row in zip(flags, *columns)]
    return tuple(structure.unflatten(column) for column in zip(*rows))


def along(factor: Factor, x: jax.Array, axis: int) -> jax.Array:
    """The factor times x, along this axis."""
    if factor is None:
        return x
    if factor.ndim == 1:
        return x * factor.reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return jnp.moveaxis(jnp.tensordot(factor, x, (1, axis), precision="highest"), 0, axis)


def along_all(factors: Sequence[Factor], x: jax.Array, *, transpose: bool = False) -> jax.Array:
    """Every factor, or its transpose, along its own axis."""
    for axis, factor in enumerate(factors):
        x = along(factor.T if transpose and factor is not None else factor, x, axis)
    return x


def gram(x: jax.Array, axis: int, *, diagonal: bool) -> jax.Array:
    """x x^T over all axes but this one, or the diagonal of it."""
    others = tuple(i for i in range(x.ndim) if i != axis)
    return jnp.sum(x * x, others) if diagonal else jnp.tensordot(x, x, (others, others), precision="highest")


def is_matrix(factor: Any) -> bool:
    """Whether the factor is kept in full."""
    return factor is not None and factor.ndim == 2
