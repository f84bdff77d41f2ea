"""Second moments in less memory than the parameters: factored, by axes, or one for many parameters."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.adaptive.squares import AdamState, SquareState
from fdl.optim.extras import put_together
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree, assign, flatten, split, widen


class AdafactorState(NamedTuple):
    """Steps taken, and running means of squares: over the columns and rows of matrices, and whole of the rest."""

    step: jax.Array
    rows: Tree
    columns: Tree
    square: Tree


@transform
def scale_by_adafactor(power: float = 0.8, eps: float = 1e-30, *, factored: bool = True) -> Transform:
    """Divide by the root of a running mean of squares of rank one.  https://arxiv.org/abs/1804.04235

    The decay of step t is 1 - t^-power.  Arrays of two axes or more are matrices over their last two axes, as in
    torch, and keep a number for each row and each column; the others, or all with factored=False, keep every square.
    """
    require_constant("power", power, 0.0)
    require_constant("eps", eps, math.ulp(0.0))
    is_matrix = lambda path, leaf: factored and leaf.ndim >= 2

    def init(params):
        require_real(params)
        matrices, rest = split(moments(params), is_matrix, strict=False)
        rows = jax.tree.map(lambda m: jnp.zeros(m.shape[:-1], m.dtype), matrices)
        columns = jax.tree.map(lambda m: jnp.zeros((*m.shape[:-2], m.shape[-1]), m.dtype), matrices)
        return AdafactorState(jnp.zeros((), jnp.int32), rows, columns, rest)

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        weight = jnp.asarray(step, float) ** -power
        matrices, rest = split(updates, is_matrix, strict=False)

        def move(axis):
            def rule(old, g):
                square = jnp.square(g.astype(old.dtype)) + eps
                new = square if axis is None else _mean(square, axis)
                return old + weight.astype(old.dtype) * (new - old)

            return rule

        rows = jax.tree.map(move(-1), state.rows, matrices)
        columns = jax.tree.map(move(-2), state.columns, matrices)
        square = jax.tree.map(move(None), state.square, rest)
        divide = lambda g, square: (g.astype(square.dtype) * jax.lax.rsqrt(square)).astype(g.dtype)
        directions = jax.tree.map(_divide, matrices, rows, columns), jax.tree.map(divide, rest, square)
        return put_together(updates, *directions), AdafactorState(step, rows, columns, square)

    return Transform(init, update)


@transform
def scale_by_sm3(*, first: bool = False) -> Transform:
    """Adagrad with one number for each index of each axis.  https://arxiv.org/abs/1901.11150

    The sum of squares of an entry is the least of the numbers of its indices, plus its own square; a number is the
    largest sum among its entries.  This is SM3-II; first=True is SM3-I, which adds the largest square to each number.
    A parameter that has never had a gradient does not move.
    """

    def init(params):
        require_real(params)
        return SquareState(jax.tree.map(lambda m: tuple(map(jnp.zeros_like, _by_axis(m))), moments(params)))

    def update(updates, state, params=None, **extras):
        def rule(g, numbers):
            g = g.astype(numbers[0].dtype)
            if first:
                numbers = tuple(n + largest for n, largest in zip(numbers, _by_axis(g * g)))
                return over_root(g, _least(numbers, g.shape), 0.0), numbers
            total = _least(numbers, g.shape) + g * g
            return over_root(g, total, 0.0), tuple(_by_axis(total))

        structure = jax.tree.structure(updates)
        leaves = structure.flatten_up_to(updates)
        rows = [rule(g, numbers) for g, numbers in zip(leaves, structure.flatten_up_to(state.square))]
        new = [direction.astype(g.dtype) for g, (direction, _) in zip(leaves, rows)]
        return structure.unflatten(new), SquareState(structure.unflatten([numbers for _, numbers in rows]))

    return Transform(init, update)


@transform
def scale_by_adam_mini(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    axes: Mapping[str, tuple[int, ...]] | None = None,
) -> Transform:
    """Adam with one square for each block of parameters.  https://arxiv.org/abs/2406.16793

    axes says by the first pattern that matches a path which axes tell its blocks apart: (-1,) is one block for each
    output of a dense kernel, (0,) one for each row of an embedding, (0, -1) one for each layer and output of a stack,
    () one for the whole array.  By default kernels have a block for each output and all other arrays are one block.
    The paper splits queries and keys by head: give their kernels an axis for the heads and name it.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    table = {"**/kernel": (-1,), "**": ()} if axes is None else axes

    def within(tree):
        """For every leaf, the axes that run within a block."""
        apart = jax.tree.structure(tree).flatten_up_to(assign(tree, table, strict=axes is not None))
        for path, (leaf, kept) in zip(flatten(tree), zip(jax.tree.leaves(tree), apart)):
            if any(not -leaf.ndim <= axis < leaf.ndim for axis in kept):
                raise ValueError(f"axes={kept} are given for {path!r}, which has {leaf.ndim} axes")
        kept = [{axis % leaf.ndim for axis in own} for leaf, own in zip(jax.tree.leaves(tree), apart)]
        return [tuple(set(range(leaf.ndim)) - own) for leaf, own in zip(jax.tree.leaves(tree), kept)]

    def means(tree):
        inner = within(tree)
        leaves = [_mean(leaf, axis, keepdims=True) for leaf, axis in zip(jax.tree.leaves(tree), inner)]
        return jax.tree.unflatten(jax.tree.structure(tree), leaves)

    def init(params):
        require_real(params)
        return AdamState(jnp.zeros((), jnp.int32), moments(params), means(moments(params)))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        mean_scale, square_scale = 1 / filled(b1, step), 1 / filled(b2, step)
        now = means(jax.tree.map(lambda g: jnp.square(widen(g)), updates))
        average = lambda old, new: b2 * old + (1 - b2) * new.astype(old.dtype)
        square = jax.tree.map(average, state.square, now)

        def rule(g, mean):
            mean = b1 * mean + (1 - b1) * g
            return mean * mean_scale.astype(g.dtype), mean

        directions, mean = each_leaf(rule, jax.tree.map(widen, updates), state.mean)
        divide = lambda s, r, g: over_root(s, r * square_scale.astype(r.dtype), eps).astype(g.dtype)
        return jax.tree.map(divide, directions, square, updates), AdamState(step, mean, square)

    return Transform(init, update)


def _divide(g: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """g over the root of rows * columns / mean(rows)."""
    rows = rows / jnp.mean(rows, -1, keepdims=True)
    by_rows = g.astype(rows.dtype) * jax.lax.rsqrt(rows)[..., None]
    return (by_rows * jax.lax.rsqrt(columns)[..., None, :]).astype(g.dtype)


def _mean(x: jax.Array, axis: int | tuple[int, ...], *, keepdims: bool = False) -> jax.Array:
    """The mean over these axes; 0 of nothing."""
    total = jnp.sum(x, axis, keepdims=keepdims)
    return total / max(x.size // max(total.size, 1), 1)


def _by_axis(x: jax.Array) -> list[jax.Array]:
    """For each axis, the largest entry at each index, of entries >= 0; a scalar is itself."""
    axes = range(x.ndim)
    return [jnp.max(x, tuple(a for a in axes if a != axis), initial=0) for axis in axes] if x.ndim else [x]


def _least(numbers: tuple[jax.Array, ...], shape: tuple[int, ...]) -> jax.Array:
    """The inverse of `_by_axis`: for each entry, the least of the numbers of its indices."""
    if not shape:
        return numbers[0]
    ones = lambda axis: tuple(n if a == axis else 1 for a, n in enumerate(shape))
    least = jnp.broadcast_to(numbers[0].reshape(ones(0)), shape)
    for axis in range(1, len(shape)):
        least = jnp.minimum(least, jnp.broadcast_to(numbers[axis].reshape(ones(axis)), shape))
    return least
