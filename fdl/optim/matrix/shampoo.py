"""Shampoo: a matrix for each axis of a parameter, the inverse root of what the gradients have summed there."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.leaves import moments, require_real
from fdl.optim.matrix.axes import along_all, each_layer, gram, is_matrix
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where


class ShampooState(NamedTuple):
    """Steps taken, and of every parameter, for each axis, the sum of g g^T and the inverse root used now.

    An axis without a matrix keeps the diagonal of the sum alone, and no root.
    """

    step: jax.Array
    statistics: Tree
    roots: Tree


@transform
def scale_by_shampoo(
    eps: float = 1e-4,
    *,
    decay: float | None = None,
    root: int | None = None,
    every: int = 1,
    limit: int = 1024,
    stacked: Where = (),
) -> Transform:
    """Multiply each axis by (eps I + sum g g^T)^(-1 / 2k), for k axes.  https://arxiv.org/abs/1802.09568

    Of a matrix that is L^(-1/4) g R^(-1/4).  Axes longer than `limit` keep the diagonal alone, as the paper says for
    large ones, and so do vectors: on them it is Adagrad.  Arrays stacked by `repeat`, named by `stacked`, count
    layer by layer.  The roots, which cost an eigendecomposition, are renewed in the first of every `every` steps.
    decay makes running means of the sums; root takes the place of 2k (2 for matrices: https://arxiv.org/abs/2406.17748).
    """
    require_constant("eps", eps, 0.0)
    require_whole("every", every)
    require_whole("limit", limit, 0)
    if decay is not None:
        require_constant("decay", decay, 0.0, BELOW_ONE)
    if root is not None:
        require_whole("root", root)
    keep, take = (1.0, 1.0) if decay is None else (decay, 1 - decay)

    def start(p):
        full = [p.ndim > 1 and n <= limit for n in _shape(p)]
        kinds = [((n, n) if matrix else (n,), matrix) for n, matrix in zip(_shape(p), full)]
        statistics = tuple(jnp.zeros(shape, p.dtype) for shape, _ in kinds)
        return statistics, tuple(jnp.eye(shape[0], dtype=p.dtype) if matrix else None for shape, matrix in kinds)

    def collect(u, statistics):
        g = u.reshape(_shape(u)).astype(statistics[0].dtype)
        grams = (gram(g, axis, diagonal=not is_matrix(s)) for axis, s in enumerate(statistics))
        return (tuple(keep * s + take * new for s, new in zip(statistics, grams)),)

    def renew(u, statistics):
        order = root or 2 * len(statistics)
        return (tuple(inverse_root(s, order, eps) if is_matrix(s) else None for s in statistics),)

    def precondition(u, statistics, roots):
        order = root or 2 * len(statistics)
        factors = [inverse_root(s, order, eps) if r is None else r for s, r in zip(statistics, roots)]
        g = u.reshape(_shape(u)).astype(statistics[0].dtype)
        return (along_all(factors, g).reshape(u.shape).astype(u.dtype),)

    def init(params):
        require_real(params)
        return ShampooState(jnp.zeros((), jnp.int32), *each_layer(start, stacked, moments(params)))

    def update(updates, state, params=None, **extras):
        (statistics,) = each_layer(collect, stacked, updates, state.statistics)
        fresh = lambda: each_layer(renew, stacked, updates, statistics)[0]
        roots = jax.lax.cond(state.step % every == 0, fresh, lambda: state.roots)
        (updates,) = each_layer(precondition, stacked, updates, statistics, roots)
        return updates, ShampooState(state.step + 1, statistics, roots)

    return Transform(init, update)


@transform
def shampoo(learning_rate: Hyper = 0.1, **shampoo: Any) -> Transform:
    """Each axis of a matrix in its own units; the other arguments are those of `scale_by_shampoo`.

    L ← L + g gᵀ;  R ← R + gᵀ g;  Δ = −learning_rate (L + eps I)^(−1/4) g (R + eps I)^(−1/4)
    """
    return chain(scale_by_shampoo(**shampoo), scale_by_learning_rate(learning_rate))


def inverse_root(statistic: jax.Array, root: int, eps: float) -> jax.Array:
    """(statistic + eps I)^(-1 / root) of a positive semidefinite matrix, or of the diagonal of one.

    Directions that have had nothing get 0 if eps is 0.
    """
    if statistic.ndim == 1:
        return _power(statistic, root, eps)
    values, vectors = jnp.linalg.eigh(statistic)
    return jnp.matmul(vectors * _power(values, root, eps)[None, :], vectors.T, precision="highest")


def _power(values: jax.Array, root: int, eps: float) -> jax.Array:
    values = jnp.maximum(values, 0) + eps  # rounding can leave an eigenvalue below 0
    return jnp.where(values > 0, values, jnp.inf) ** (-1 / root)


def _shape(x: jax.Array) -> tuple[int, ...]:
    """A single number counts as a vector of one."""
    return x.shape or (1,)
