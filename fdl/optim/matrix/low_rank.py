"""Gradients of matrices in few directions: a transform keeps its state for these alone.  GaLore"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.squares import scale_by_adam
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.extras import put_together
from fdl.optim.leaves import moments, require_real
from fdl.optim.matrix.orthogonal import as_matrix, require_matrices
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_state, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where, flatten, merge, split, unflatten


class LowRankState(NamedTuple):
    """Steps taken, the directions of every matrix, and the state of the inner transform in them."""

    step: jax.Array
    axes: Tree
    inner: Any


@transform
def low_rank(
    inner: Transform, rank: int = 128, *, every: int = 200, size: float = 0.25, where: Where = "**/kernel"
) -> Transform:
    """size * P inner(P^T g) for the matrices meant, P the `rank` largest singular vectors of g on its shorter side.

    P is taken anew at every `every`-th step, from 0; the state of inner is kept.  Arrays not meant enter whole.  inner
    sees no parameters.  Raises ShapeError naming a parameter meant that is no matrix.  https://arxiv.org/abs/2403.03507
    """
    require_whole("rank", rank)
    require_whole("every", every)
    require_constant("size", size, 0.0)

    def init(params):
        require_real(params)
        meant, rest = split(moments(params), where)
        require_matrices(meant, ())
        axes = jax.tree.map(lambda m: jnp.zeros(_shape(m, rank), m.dtype), meant)
        return LowRankState(jnp.zeros((), jnp.int32), axes, inner.init(merge(jax.tree.map(_down, axes, meant), rest)))

    def update(updates, state, params=None, **extras):
        require_state(state, LowRankState)
        meant, rest = split(updates, where)
        fresh = lambda: jax.tree.map(lambda u, p: _directions(u, rank).astype(p.dtype), meant, state.axes)
        axes = jax.lax.cond(state.step % every == 0, fresh, lambda: state.axes)
        low = merge(jax.tree.map(_down, axes, meant), rest)
        moved, own = inner.update(low, state.inner, None, **{k: v for k, v in extras.items() if k == "value"})
        found, directions = flatten(moved), flatten(axes)
        for path, u in flatten(meant).items():
            found[path] = (size * _up(directions[path], found[path], u)).astype(u.dtype)
        updates = put_together(updates, unflatten(found))
        return updates, LowRankState(state.step + 1, axes, own)

    return Transform(init, update)


@transform
def galore(
    learning_rate: Hyper = 1e-2,
    rank: int = 128,
    *,
    every: int = 200,
    size: float = 0.25,
    weight_decay: Hyper = 0.0,
    where: Where = "**/kernel",
    **adam: Any,
) -> Transform:
    """Adam in few directions of each matrix.

    Δ = −learning_rate (size P u + weight_decay x), u Adam's direction of Pᵀ g;  every so many steps g = P S Qᵀ

    The first arguments are those of `low_rank`, the others those of `scale_by_adam`.  https://arxiv.org/abs/2403.03507
    """
    direction = low_rank(scale_by_adam(**adam), rank, every=every, size=size, where=where)
    return chain(direction, add_weight_decay(weight_decay, where), scale_by_learning_rate(learning_rate))


def _shape(x: jax.Array, rank: int) -> tuple[int, int]:
    shorter = min(as_matrix(x).shape)
    return shorter, min(rank, shorter)


def _directions(u: jax.Array, rank: int) -> jax.Array:
    """The largest singular vectors on the shorter side.  (shorter, rank)"""
    matrix = as_matrix(u)
    wide = matrix if matrix.dtype.itemsize >= 4 else matrix.astype(jnp.float32)
    left, _, right = jnp.linalg.svd(wide, full_matrices=False)
    return (left if _is_wide(u) else right.T)[:, : _shape(u, rank)[1]]


def _down(axes: jax.Array, u: jax.Array) -> jax.Array:
    matrix = as_matrix(u).astype(axes.dtype)
    first, second = (axes.T, matrix) if _is_wide(u) else (matrix, axes)
    return jnp.matmul(first, second, precision="highest")


def _up(axes: jax.Array, low: jax.Array, like: jax.Array) -> jax.Array:
    first, second = (axes, low) if _is_wide(like) else (low, axes.T)
    return jnp.matmul(first, second, precision="highest").reshape(like.shape)


def _is_wide(u: jax.Array) -> bool:
    rows, columns = as_matrix(u).shape
    return rows <= columns
