"""Sums over all axes but the last, and their transpose: one value a channel, spread over all other axes.

Biases, scales and batch moments are these two, and so are their gradients.  XLA on a CPU takes such sums at a fifth of
the speed of memory.  So the two are a pair of primitives, each the transpose of the other, of which every derivative
is one of the two again, and the sum is taken in stages: see `_sum_on_cpu`.
"""

import math

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from fdl.tree import widen

PARTS, ROWS = 16, 256  # a sum is taken over at most so many parts, then over at most so many rows at once
SHARED = 512 << 10  # bytes; what XLA writes in one loop it gives to more than one core only from here on


def per_channel(values: jax.Array, x: jax.Array, *, shared: bool = False) -> jax.Array:
    """Values (dim,) spread over the shape of x (..., dim), so that broadcasting is said and not guessed.

    shared=True tells that products read the gradient of the result too, as they do behind the bias of a product.
    """
    rows = math.prod(x.shape[:-1])
    return spread_p.bind(values[None], rows=rows, shared=shared).reshape(x.shape)


def channel_sum(x: jax.Array) -> jax.Array:
    """The sum over all axes but the last, in float32 at least inside.  (..., dim) -> (dim,)

    Infinite values may make it NaN.
    """
    return sum_p.bind(x.reshape(1, math.prod(x.shape[:-1]), x.shape[-1]), shared=False)[0]


def channel_mean(x: jax.Array) -> jax.Array:
    """The mean over all axes but the last.  (..., dim) -> (dim,)"""
    return channel_sum(x) / math.prod(x.shape[:-1])


# Both primitives have a leading axis for vmap: sum (batch, rows, dim) -> (batch, dim), spread the other way.
sum_p, spread_p = Primitive("fdl_channel_sum"), Primitive("fdl_channel_spread")


def _sum(x, *, shared):
    return jnp.sum(x, axis=1)


def _sum_on_cpu(x, *, shared):
    """A shared array is read as it lies, for XLA would compute it again for another shape; others: `_sum_of_parts`.

    Each of a batch is summed as it would be by itself, so that runs trained side by side have the bits of each alone.
    """
    batch, rows, _ = x.shape
    if batch == 0 or rows < 2:
        return _sum(x, shared=shared)
    wide, part = widen(x), largest_divisor(rows, ROWS)
    if shared and rows // part <= PARTS:
        ones = jnp.repeat(jnp.eye(rows // part, dtype=wide.dtype), part, axis=1)
        partial = jnp.broadcast_to(ones, (batch, *ones.shape)) @ wide
    else:
        partial = _sum_of_parts(wide, largest_divisor(rows, min(max(x.nbytes // batch // SHARED, 4), PARTS)))
    return jnp.sum(partial, axis=1).astype(x.dtype)


def _sum_of_parts(x, parts):
    """The parts of x added up row by row, then a product with ones.  (batch, rows, dim) -> (batch, few rows, dim)

    The first stage is element-wise, so what makes x is computed within it and never written; few enough parts are
    added by straight code, and leave enough for all cores.  The product keeps XLA from making one slow loop of all.
    """
    batch, rows, dim = x.shape[0], x.shape[1] // parts, x.shape[2]
    partial = jnp.sum(x.reshape(batch, parts, rows, dim), axis=1)
    together = largest_divisor(rows, ROWS)
    ones = jnp.ones((batch, rows // together, 1, together), x.dtype)
    return (ones @ partial.reshape(batch, -1, together, dim))[:, :, 0]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor up to this."""
    return next(n for n in range(min(number, most), 0, -1) if number % n == 0)


def _spread(x, *, rows, shared):
    return jnp.broadcast_to(x[:, None], (x.shape[0], rows, x.shape[1]))


def _batch_sum(args, axes, **how):
    x = jnp.moveaxis(args[0], axes[0], 0)
    return sum_p.bind(x.reshape(-1, *x.shape[2:]), **how).reshape(*x.shape[:2], -1), 0


def _batch_spread(args, axes, *, rows, **how):
    x = jnp.moveaxis(args[0], axes[0], 0)
    return spread_p.bind(x.reshape(-1, x.shape[2]), rows=rows, **how).reshape(*x.shape[:2], rows, x.shape[2]), 0


def _rows(x) -> int:
    return x.aval.shape[1]


sum_p.def_impl(jax.jit(sum_p.bind, static_argnames="shared"))
spread_p.def_impl(jax.jit(spread_p.bind, static_argnames=("rows", "shared")))
sum_p.def_abstract_eval(lambda x, *, shared: x.update(shape=(x.shape[0], x.shape[2])))
spread_p.def_abstract_eval(lambda x, *, rows, shared: x.update(shape=(x.shape[0], rows, x.shape[1])))
ad.deflinear2(sum_p, lambda ct, x, *, shared: [spread_p.bind(ct, rows=_rows(x), shared=shared)])
ad.deflinear2(spread_p, lambda ct, x, *, rows, shared: [sum_p.bind(ct, shared=shared)])
batching.primitive_batchers[sum_p] = _batch_sum
batching.primitive_batchers[spread_p] = _batch_spread
mlir.register_lowering(sum_p, mlir.lower_fun(_sum, multiple_results=False))
mlir.register_lowering(sum_p, mlir.lower_fun(_sum_on_cpu, multiple_results=False), platform="cpu")
mlir.register_lowering(spread_p, mlir.lower_fun(_spread, multiple_results=False))
