"""Products with a kernel whose gradients are the products that a CPU does fast.

An optimization_barrier stops XLA from undoing the form; tangents are written so that their transposes have it.
"""

import math

import jax
from jax import lax


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


@_times.defjvp
def _times_jvp(primals, tangents):
    """The gradient of the kernel, x^T g, with the narrower of the two turned, where rows outnumber its columns."""
    (x, kernel), (dx, dkernel) = primals, tangents
    rows, (in_dim, out_dim) = x.shape[0], kernel.shape
    on_cpu = jax.default_backend() == "cpu"
    if on_cpu and out_dim < min(rows, in_dim):
        change = lax.dot_general(x, lax.optimization_barrier(dkernel.T), (((1,), (1,)), ((), ())))
    elif on_cpu and in_dim < rows:
        change = lax.dot_general(lax.optimization_barrier(x.T), dkernel, (((0,), (0,)), ((), ())))
    else:
        change = x @ dkernel
    return x @ kernel, dx @ kernel + change


@jax.custom_jvp
def recur(h: jax.Array, kernel: jax.Array) -> jax.Array:
    """h @ kernel in a loop over time.  (batch, dim), (dim, out_dim) -> (batch, out_dim)

    The gradient of h is a product with the kernel turned once, before the loop: at a few rows XLA on a CPU takes two
    and a half times as long where it turns the kernel at each step.
    """
    return h @ kernel


@recur.defjvp
def _recur_jvp(primals, tangents):
    (h, kernel), (dh, dkernel) = primals, tangents
    if jax.default_backend() != "cpu":
        return h @ kernel, dh @ kernel + h @ dkernel
    turned = lax.optimization_barrier(kernel.T)
    return h @ kernel, lax.dot_general(dh, turned, (((1,), (1,)), ((), ()))) + h @ dkernel
