"""The cells that windows see, those that win, and the way back.

What the winners hold is linear in the cells, so `take` is a primitive, and its transpose another.  XLA on a CPU is slow
at the transpose that JAX writes, a sum of arrays with holes put in; here every cell looks at the windows that see it,
one phase of the stride after another, as the input gradient of a convolution does.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def pad_space(x: jax.Array, pads, value: float = 0.0) -> jax.Array:
    """Pad the axes of space, or crop them where a number is negative."""
    if not any(itertools.chain(*pads)):
        return x
    return lax.pad(x, jnp.asarray(value, x.dtype), [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)])


def taps(x: jax.Array, window, stride, dilation) -> Iterator[jax.Array]:
    """For each cell of the window, rows first, what it sees at all positions."""
    spans = [(w - 1) * d for w, d in zip(window, dilation)]
    sizes = [(n - span - 1) // s * s + 1 for n, span, s in zip(x.shape[1:-1], spans, stride)]
    for cell in itertools.product(*map(range, window)):
        slices = [slice(i * d, i * d + n, s) for i, d, n, s in zip(cell, dilation, sizes, stride)]
        yield x[(slice(None), *slices)]


def interleave(phases: Sequence[jax.Array], stride: Sequence[int], space: Sequence[int]) -> jax.Array:
    """One array (batch, *space, dim) of its cells at first, first + stride, ... for every first cell, rows first."""
    rank, x = len(space), phases[0]
    batch, *size, dim = x.shape
    if len(phases) > 1:
        x = jnp.stack(phases).reshape(*stride, batch, *size, dim)
        order = [rank, *itertools.chain(*((rank + 1 + a, a) for a in range(rank))), 2 * rank + 1]
        x = x.transpose(order).reshape(batch, *(n * s for n, s in zip(size, stride)), dim)
    return x[(slice(None), *map(slice, space))]


def take(x: jax.Array, winner: jax.Array, window: Sequence[int], stride: Sequence[int]) -> jax.Array:
    """The cell of each window that has the number `winner`, rows first; 0 for a number outside.

    (batch, *space, dim), int (batch, *positions, dim) -> (batch, *positions, dim)
    """
    return take_p.bind(x, winner, window=tuple(window), stride=tuple(stride), space=x.shape[1:-1])


# --- both maps ------------------------------------------------------------------------------------------------------

take_p, put_p = Primitive("fdl_pool_take"), Primitive("fdl_pool_put")


def _take(x, winner, *, window, stride, space):
    seen = taps(x, window, stride, (1,) * len(window))
    return sum(jnp.where(winner == cell, tap, 0) for cell, tap in enumerate(seen))


def _put(y, winner, *, window, stride, space):
    counts = [-(-n // s) for n, s in zip(space, stride)]
    phases = [_phase(y, winner, window, stride, counts, first) for first in itertools.product(*map(range, stride))]
    return interleave(phases, stride, space)


def _phase(y, winner, window, stride, counts, first):
    """The cells first, first + stride, ... of every axis, each the sum over the windows in which it is the winner."""
    hits = [range(start, size, step) for start, size, step in zip(first, window, stride)]
    if not all(hits):
        return jnp.zeros((y.shape[0], *counts, y.shape[-1]), y.dtype)
    edges = [(len(along) - 1, n - size) for along, n, size in zip(hits, counts, y.shape[1:-1])]
    y, winner = lax.optimization_barrier((pad_space(y, edges), pad_space(winner, edges, -1)))
    total = jnp.zeros((), y.dtype)
    for back in itertools.product(*(range(len(along)) for along in hits)):
        number = int(np.ravel_multi_index([along[b] for along, b in zip(hits, back)], window))
        starts = [len(along) - 1 - b for along, b in zip(hits, back)]
        seen = (slice(None), *(slice(at, at + n) for at, n in zip(starts, counts)))
        total = total + jnp.where(winner[seen] == number, y[seen], 0)
    return total


def _type(first, winner, *, space, **how):
    return first.update(shape=winner.shape, weak_type=False)


def _type_back(first, winner, *, space, **how):
    return first.update(shape=(winner.shape[0], *space, winner.shape[-1]), weak_type=False)


def _batch(primitive, arrays, axes, **how):
    """A mapped axis goes into the batch."""
    count = next(a.shape[axis] for a, axis in zip(arrays, axes) if axis is not None)
    moved = [
        jnp.broadcast_to(a, (count, *a.shape)) if axis is None else jnp.moveaxis(a, axis, 0)
        for a, axis in zip(arrays, axes)
    ]
    out = primitive.bind(*(a.reshape(-1, *a.shape[2:]) for a in moved), **how)
    return out.reshape(count, -1, *out.shape[1:]), 0


for _one, _run, _aval, _other in ((take_p, _take, _type, put_p), (put_p, _put, _type_back, take_p)):
    _one.def_impl(jax.jit(partial(_one.bind), static_argnames=("window", "stride", "space")))
    _one.def_abstract_eval(_aval)
    ad.defjvp(_one, lambda tangent, x, winner, one=_one, **how: one.bind(tangent, winner, **how), None)
    ad.primitive_transposes[_one] = lambda ct, x, winner, other=_other, **how: [other.bind(ct, winner, **how), None]
    batching.primitive_batchers[_one] = partial(_batch, _one)
    mlir.register_lowering(_one, mlir.lower_fun(_run, multiple_results=False))
