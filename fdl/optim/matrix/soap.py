"""SOAP: Adam in the coordinates in which Shampoo's matrices are diagonal."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.leaves import moments, require_real
from fdl.optim.matrix.axes import along_all, each_layer, gram, is_matrix
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where


class SoapState(NamedTuple):
    """Steps taken, and of every parameter the running means: of gradients, of their squares in the basis, of g g^T.

    Of the last, and of its basis, there is one for each axis; an axis that is too long has None and is not turned.
    """

    step: jax.Array
    mean: Tree
    square: Tree
    statistics: Tree
    basis: Tree


@transform
def scale_by_soap(
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    *,
    every: int = 10,
    limit: int = 10_000,
    skip_first: bool = True,
    stacked: Where = (),
) -> Transform:
    """Adam in the eigenbasis of Shampoo's matrices.  https://arxiv.org/abs/2409.11321, algorithm 3

    The first gradient sets the basis by an eigendecomposition; each `every` steps one power iteration with a QR
    decomposition renews it.  As in the authors' code the axes are first put in falling order of their eigenvalues, and
    no parameter moves in the first step, where the gradient has no part outside of its own basis; skip_first=False
    moves them as Adam does.  Vectors, and axes longer than `limit`, are not turned: on vectors it is Adam.  Arrays
    stacked by `repeat`, named by `stacked`, count layer by layer.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    require_whole("every", every)
    require_whole("limit", limit, 0)

    def start(p):
        turned = [p.ndim > 1 and n <= limit for n in p.shape]
        kinds = list(zip(p.shape, turned))
        statistics = tuple(jnp.zeros((n, n), p.dtype) if turn else None for n, turn in kinds)
        return statistics, tuple(jnp.eye(n, dtype=p.dtype) if turn else None for n, turn in kinds)

    def init(params):
        require_real(params)
        mean, square = moments(params), moments(params)
        return SoapState(jnp.zeros((), jnp.int32), mean, square, *each_layer(start, stacked, mean))

    def update(updates, state, params=None, **extras):
        first = state.step == 0
        count = jnp.maximum(state.step, 1)  # the means start anew after the first step, in its basis
        mean_scale, square_scale = 1 / filled(b1, count), 1 / filled(b2, count)

        def rule(u, mean, square, statistics, basis):
            g = u.astype(mean.dtype)
            mean = b1 * mean + (1 - b1) * g
            square = b2 * square + (1 - b2) * jnp.square(along_all(basis, g, transpose=True))
            s = along_all(basis, mean, transpose=True) * mean_scale.astype(g.dtype)
            moved = along_all(basis, over_root(s, square * square_scale.astype(g.dtype), eps))
            moved = jnp.where(first, 0, moved) if skip_first else moved
            statistics = tuple(
                b2 * s + (1 - b2) * gram(g, axis, diagonal=False) if is_matrix(s) else None
                for axis, s in enumerate(statistics)
            )
            return moved.astype(u.dtype), jnp.where(first, 0, mean), square, statistics

        updates, mean, square, statistics = each_layer(rule, stacked, updates, *state[1:])
        which = jnp.where(first, 1, jnp.where(state.step % every == 0, 2, 0))
        stay = lambda: (square, state.basis)
        begin, turn = (lambda f=f: each_layer(f, stacked, square, statistics, state.basis) for f in (_begin, _turn))
        square, basis = jax.lax.switch(which, (stay, begin, turn))
        return updates, SoapState(state.step + 1, mean, square, statistics, basis)

    return Transform(init, update)


@transform
def soap(
    learning_rate: Hyper = 3e-3, *, weight_decay: Hyper = 1e-2, where: Where = "**/kernel", **soap: Any
) -> Transform:
    """Adam in the axes of Shampoo, with decoupled weight decay; the other arguments are those of `scale_by_soap`.

    L ← b2 L + (1 − b2) g gᵀ = Q D Qᵀ;  R ← b2 R + (1 − b2) gᵀ g = P D Pᵀ
    m ← b1 m + (1 − b1) g;  v ← b2 v + (1 − b2) (Qᵀ g P)²
    Δ = −learning_rate (Q (Qᵀ m̂ P / (√v̂ + eps)) Pᵀ + weight_decay x)
    """
    decay = add_weight_decay(weight_decay, where)
    return chain(scale_by_soap(**soap), decay, scale_by_learning_rate(learning_rate))


def _begin(square: jax.Array, statistics: tuple, basis: tuple) -> tuple[jax.Array, tuple]:
    """No squares, and the eigenvectors in falling order of the eigenvalues; squares of vectors start anew too."""
    vectors = lambda matrix: jnp.linalg.eigh(matrix)[1][:, ::-1]
    return jnp.zeros_like(square), tuple(None if s is None else vectors(s) for s in statistics)


def _turn(square: jax.Array, statistics: tuple, basis: tuple) -> tuple[jax.Array, tuple]:
    """The squares and the basis in falling order of the estimated eigenvalues, and the basis one power step on."""
    turned = []
    for axis, (matrix, q) in enumerate(zip(statistics, basis)):
        if q is not None:
            product = jnp.matmul(matrix, q, precision="highest")
            order = jnp.argsort(-jnp.sum(q * product, 0))
            square = jnp.take(square, order, axis)
            q = jnp.linalg.qr(product[:, order])[0]
        turned.append(q)
    return square, tuple(turned)
