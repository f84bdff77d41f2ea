"""PSGD with Kronecker factors: a triangular matrix for each axis, learnt so that it makes gradients white."""

import math
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.gradients.clip import clip_by_block_rms
from fdl.optim.leaves import moments, require_real
from fdl.optim.matrix.axes import along_all, each_layer, gram, is_matrix
from fdl.optim.schedules.standard import schedule
from fdl.optim.transform import (
    Hyper,
    Schedule,
    Transform,
    chain,
    require_constant,
    require_number,
    require_whole,
    transform,
    value_at,
)
from fdl.optim.velocity import scale_by_learning_rate
from fdl.tree import Tree, Where, map_with_path


class KronState(NamedTuple):
    """Steps taken, the running mean of the gradients, and for each axis its factor Q or the diagonal of it."""

    step: jax.Array
    mean: Tree
    factors: Tree


@schedule
def falling_probability(high: float = 1.0, low: float = 0.03, decay: float = 1e-3, flat: int = 250) -> Schedule:
    """High for so many steps, then falling as exp(-decay * step), but not below low."""
    return lambda step: jnp.clip(high * jnp.exp(-decay * (jnp.asarray(step, float) - flat)), low, high)


@transform
def scale_by_kron(
    b1: float = 0.9,
    *,
    probability: Hyper = falling_probability(),
    rate: float = 0.1,
    initial: float = 1.0,
    damping: float = 2.0**-11.5,
    limit: int = 8192,
    seed: int = 0,
    stacked: Where = (),
) -> Transform:
    """Multiply the mean of the gradients by P = Q^T Q, where Q is a Kronecker product of one factor per axis.

    With this probability a step moves the factors, at this rate, to lower E[g^T P g + v^T P^(-1) v], where v is noise
    drawn from (seed, step, path).  https://arxiv.org/abs/1512.04202, https://arxiv.org/abs/1809.10232
    Factors are upper triangular; on vectors, and on axes longer than `limit`, they are diagonal.  damping is the noise
    that the factors see in a gradient, relative to its mean magnitude.  Arrays stacked by `repeat`, named by `stacked`,
    count layer by layer.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_number("probability", probability, 0.0, 1.0)
    require_constant("rate", rate, 0.0, 1.0)
    require_constant("initial", initial, math.ulp(0.0))
    require_constant("damping", damping, 0.0)
    require_whole("limit", limit, 0)
    require_whole("seed", seed, 0)

    def start(p):
        size = initial ** (1 / max(p.ndim, 1))
        full = lambda n: p.ndim > 1 and n <= limit
        return (tuple(size * (jnp.eye(n, dtype=p.dtype) if full(n) else jnp.ones(n, p.dtype)) for n in _shape(p)),)

    def learn(mean, factors, probe):
        if mean.size == 0:
            return (factors,)
        g, v = mean.reshape(_shape(mean)), probe.reshape(_shape(mean))
        return (_learnt(factors, g + damping * jnp.mean(jnp.abs(g)) * v, v, rate),)

    def precondition(u, mean, factors):
        x = along_all(factors, mean.reshape(_shape(mean)))
        return (along_all(factors, x, transpose=True).reshape(u.shape).astype(u.dtype),)

    def init(params):
        require_real(params)
        mean = moments(params)
        return KronState(jnp.zeros((), jnp.int32), mean, *each_layer(start, stacked, mean))

    def update(updates, state, params=None, **extras):
        mean = jax.tree.map(lambda u, m: b1 * m + (1 - b1) * u.astype(m.dtype), updates, state.mean)
        full = 1 / filled(b1, state.step + 1)
        centre = jax.tree.map(lambda m: m * full.astype(m.dtype), mean)
        choose, draw = jax.random.split(jax.random.fold_in(jax.random.key(seed), state.step))
        moves = jax.random.uniform(choose) < value_at(probability, state.step)
        learnt = lambda: each_layer(learn, stacked, centre, state.factors, _noise(draw, centre))[0]
        factors = jax.lax.cond(moves, learnt, lambda: state.factors)
        (updates,) = each_layer(precondition, stacked, updates, centre, factors)
        return updates, KronState(state.step + 1, mean, factors)

    return Transform(init, update)


@transform
def kron(
    learning_rate: Hyper = 1e-3, *, weight_decay: Hyper = 0.0, where: Where = "**/kernel", **kron: Any
) -> Transform:
    """PSGD with Kronecker factors, directions of root mean square 1.1 at most, and decoupled weight decay.

    m ← b1 m + (1 − b1) g;  A = Q m̂;  B = Q⁻ᵀ z, z by chance;  Q ← Q − rate / |A Aᵀ + B Bᵀ| triu(A Aᵀ − B Bᵀ) Q
    u = Qᵀ Q m̂;  Δ = −learning_rate (u / max(1, rms(u) / 1.1) + weight_decay x)

    The other arguments are those of `scale_by_kron`.
    """
    parts = scale_by_kron(**kron), clip_by_block_rms(1.1), add_weight_decay(weight_decay, where)
    return chain(*parts, scale_by_learning_rate(learning_rate))


def _learnt(factors: tuple, g: jax.Array, v: jax.Array, rate: float) -> tuple:
    """Q - rate / |A A^T + B B^T| triu(A A^T - B B^T) Q on every axis, for A = Q g and B = Q^(-T) v; then balanced."""
    a, b = along_all(factors, g), v
    for axis, q in enumerate(factors):
        b = _solved(q, b, axis)
    moved = []
    for axis, q in enumerate(factors):
        diagonal = not is_matrix(q)
        aa, bb = gram(a, axis, diagonal=diagonal), gram(b, axis, diagonal=diagonal)
        size = jnp.max(aa + bb) if diagonal else _norm_bound(aa + bb)
        step = rate / jnp.where(size > 0, size, 1) * (aa - bb)
        moved.append(q - (step * q if diagonal else jnp.matmul(jnp.triu(step), q, precision="highest")))
    return _balanced(moved)


def _solved(q: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    """Q^(-T) x along the axis."""
    if not is_matrix(q):
        return along_all((None,) * axis + (1 / q,), x)
    rows = jnp.moveaxis(x, axis, 0)
    flat = jax.scipy.linalg.solve_triangular(q, rows.reshape(rows.shape[0], -1), trans=1)
    return jnp.moveaxis(flat.reshape(rows.shape), 0, axis)


def _norm_bound(matrix: jax.Array) -> jax.Array:
    """The spectral norm of a symmetric matrix from below, and within a factor of two as a rule: two power steps."""
    size = jnp.max(jnp.abs(matrix))
    unit = matrix / jnp.where(size > 0, size, 1)
    x = unit @ unit[jnp.argmax(jnp.sum(unit * unit, 0))]
    length = jnp.sqrt(jnp.sum(x * x))
    y = unit @ (x / jnp.where(length > 0, length, 1))
    return size * jnp.sqrt(jnp.sum(y * y))


def _balanced(factors: list[jax.Array]) -> tuple:
    """The factors with equal largest entries: their product, and all that it does, stays as it is."""
    logs = [jnp.log(jnp.max(jnp.abs(q))) for q in factors]
    mean = sum(logs) / len(logs)
    return tuple(q * jnp.exp(mean - own) for q, own in zip(factors, logs))


def _noise(key: jax.Array, like: Tree) -> Tree:
    """Normal noise, drawn for each leaf by its path."""
    own = lambda path: jax.random.fold_in(key, zlib.crc32(path.encode()))
    return map_with_path(lambda path, leaf: jax.random.normal(own(path), leaf.shape, leaf.dtype), like)


def _shape(x: jax.Array) -> tuple[int, ...]:
    """A single number counts as a vector of one."""
    return x.shape or (1,)
