"""Products with a kernel whose gradients are the products that a CPU does fast.

An optimization_barrier stops XLA from undoing the form; tangents are written so that their transposes have it.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from fdl.compile import on_cpu


def times(x: jax.Array, kernel: jax.Array, *, plain: bool = False) -> jax.Array:
    """x @ kernel by the rows of x.  (..., in_dim), (in_dim, out_dim) -> (..., out_dim)

    With several leading axes the gradient of the kernel would sum over each, for which XLA on a CPU first copies x.
    plain=True is the definition.
    """
    if plain:
        return x @ kernel
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return _times(rows, kernel).reshape(*x.shape[:-1], kernel.shape[-1])


@jax.custom_jvp
def _times(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return x @ kernel


def _times_jvp(primals, tangents):
    """The gradients: of x with the kernel turned once, of the kernel, x^T g, with the narrower of the two turned."""
    (x, kernel), (dx, dkernel) = primals, tangents

    def by_kernel(dkernel):
        rows, (in_dim, out_dim) = x.shape[0], kernel.shape
        if on_cpu() and out_dim < min(rows, in_dim):
            return lax.dot_general(x, lax.optimization_barrier(dkernel.T), (((1,), (1,)), ((), ())))
        if on_cpu() and in_dim < rows:
            return lax.dot_general(lax.optimization_barrier(x.T), dkernel, (((0,), (0,)), ((), ())))
        return x @ dkernel

    y = x @ kernel
    return y, _sum(y, (dx, lambda dx: _with_turned(dx, kernel)), (dkernel, by_kernel))


@jax.custom_jvp
def recur(h: jax.Array, kernel: jax.Array) -> jax.Array:
    """h @ kernel in a loop over time.  (batch, dim), (dim, out_dim) -> (batch, out_dim)

    The gradient of h is a product with the kernel turned once, before the loop: at a few rows XLA on a CPU takes two
    and a half times as long where it turns the kernel at each step.
    """
    return h @ kernel


def _recur_jvp(primals, tangents):
    (h, kernel), (dh, dkernel) = primals, tangents
    y = h @ kernel
    return y, _sum(y, (dh, lambda dh: _with_turned(dh, kernel)), (dkernel, lambda dkernel: h @ dkernel))


def _with_turned(dx: jax.Array, kernel: jax.Array) -> jax.Array:
    """dx @ kernel, whose transpose is a plain product with an array that holds kernel^T."""
    if not on_cpu():
        return dx @ kernel
    return lax.dot_general(dx, lax.optimization_barrier(kernel.T), (((1,), (1,)), ((), ())))


def _sum(like: jax.Array, *terms: tuple[Any, Callable]) -> jax.Array:
    """The sum of product(tangent) over those tangents that are not known to be zero: of data, of frozen kernels."""
    products = [product(tangent) for tangent, product in terms if not isinstance(tangent, SymbolicZero)]
    return sum(products[1:], products[0]) if products else jnp.zeros_like(like)


_times.defjvp(_times_jvp, symbolic_zeros=True)
recur.defjvp(_recur_jvp, symbolic_zeros=True)
