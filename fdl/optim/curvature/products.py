"""Curvature without matrices: products of the Hessian with a vector, and what they tell of its spectrum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from fdl.tree import Tree, cast, count, require_like, widen

Matvec = Callable[[Tree], Tree]


class Lanczos(NamedTuple):
    """The tridiagonal matrix, its eigenvalues in rising order, and how much of the first vector lies along each."""

    diagonal: jax.Array
    off_diagonal: jax.Array
    values: jax.Array
    weights: jax.Array


def hessian_vector_product(f: Callable[[Tree], jax.Array], params: Tree, vector: Tree) -> Tree:
    """The Hessian of f at params times a vector in the form of params, at the cost of about two gradients.

    Pearlmutter 1994, https://doi.org/10.1162/neco.1994.6.1.147
    """
    require_like(vector, params, "vector", "parameters", dtypes=False)
    vector = jax.tree.map(lambda v, p: v.astype(p.dtype), vector, params)
    return jax.jvp(jax.grad(f), (params,), (vector,))[1]


def gauss_newton_vector_product(
    predict: Callable[[Tree], Any], loss: Callable[[Any], jax.Array], params: Tree, vector: Tree
) -> Tree:
    """J^T H J times a vector: J the Jacobian of predict(params), H the Hessian of loss(outputs).

    The Hessian of loss(predict(params)) without the curvature of predict; positive where the loss is convex.
    Schraudolph 2002, https://doi.org/10.1162/08997660260028683
    """
    require_like(vector, params, "vector", "parameters", dtypes=False)
    vector = jax.tree.map(lambda v, p: v.astype(p.dtype), vector, params)
    outputs, pull = jax.vjp(predict, params)
    moved = jax.jvp(predict, (params,), (vector,))[1]
    return pull(hessian_vector_product(loss, outputs, moved))[0]


def hessian_diagonal(
    f: Callable[[Tree], jax.Array], params: Tree, key: jax.Array, *, samples: int = 1, normal: bool = False
) -> Tree:
    """An unbiased estimate of the diagonal of the Hessian of f: the mean of z * Hz over so many random z.

    z are signs, which are exact where the Hessian is diagonal, or standard normal.  Float32 at least.
    Hutchinson 1990, https://doi.org/10.1080/03610919008812866
    """
    draw = jax.random.normal if normal else jax.random.rademacher

    def sample(i):
        keys = jax.random.split(jax.random.fold_in(key, i), len(jax.tree.leaves(params)))
        keys = jax.tree.unflatten(jax.tree.structure(params), list(keys))
        z = jax.tree.map(lambda p, own: draw(own, p.shape, p.dtype), params, keys)
        return jax.tree.map(lambda a, b: widen(a) * widen(b), z, hessian_vector_product(f, params, z))

    return _mean(sample, samples)


def empirical_fisher_diagonal(
    predict: Callable[[Tree], Any], loss: Callable[[Any], jax.Array], params: Tree, key: jax.Array, *, samples: int = 1
) -> Tree:
    """An unbiased estimate of the mean over the examples of their squared gradients.

    The outputs of predict have a leading axis of examples, of which each makes its own row, and loss is a mean over
    them.  A sample is one gradient with a random sign for each example: squared, what belongs to two examples cancels
    on average.  Float32 at least.
    """
    outputs, pull = jax.vjp(predict, params)
    slopes = jax.grad(loss)(outputs)
    examples = jax.tree.leaves(outputs)[0].shape[0]

    def sample(i):
        signs = jax.random.rademacher(jax.random.fold_in(key, i), (examples,), jnp.float32)
        signed = jax.tree.map(lambda u: u * signs.astype(u.dtype).reshape(-1, *[1] * (u.ndim - 1)), slopes)
        return jax.tree.map(lambda g: examples * jnp.square(widen(g)), pull(signed)[0])

    return _mean(sample, samples)


def lanczos(matvec: Matvec, like: Tree, key: jax.Array, steps: int) -> Lanczos:
    """A symmetric matrix, known by its products with trees like `like`, seen from a random vector.

    The outermost of the `steps` values come near the outermost eigenvalues; after as many steps as there are scalars
    they are the eigenvalues.  Values with their weights are a quadrature of the spectral density.  Every vector is
    made orthogonal to all before, which are kept: steps times the memory of the parameters.
    """
    size = count(like)
    if not 1 <= steps <= size:
        raise ValueError(f"steps must lie in [1, {size}], the number of scalars, got {steps}")
    flat, unravel = raveled(like)
    tiny = 100 * jnp.finfo(flat.dtype).eps
    product = lambda v: raveled(matvec(unravel(v)))[0]

    def orthogonal(v, basis):
        for _ in range(2):  # once is not enough in floating point, twice is
            v = v - jnp.dot(jnp.dot(basis, v, precision="highest"), basis, precision="highest")
        return v

    def step(carry, i):
        basis, v, scale = carry
        basis = basis.at[i].set(v)
        w = product(v)
        diagonal = jnp.sum(v * w)
        scale = jnp.maximum(scale, jnp.sqrt(jnp.sum(w * w)))
        rest = orthogonal(w, basis)
        length = jnp.sqrt(jnp.sum(rest * rest))
        # The vectors so far span a space that the matrix keeps: go on from a fresh one, in a block of its own.
        closed = length <= tiny * scale
        fresh = orthogonal(jax.random.normal(jax.random.fold_in(key, i + 1), v.shape, v.dtype), basis)
        rest = jnp.where(closed, fresh, rest)
        after = rest / jnp.sqrt(jnp.sum(rest * rest))
        return (basis, after, scale), (diagonal, jnp.where(closed, 0, length))

    first = jax.random.normal(key, flat.shape, flat.dtype)
    first = first / jnp.sqrt(jnp.sum(first * first))
    basis = jnp.zeros((steps, size), flat.dtype)
    diagonal, lengths = jax.lax.scan(step, (basis, first, jnp.zeros((), flat.dtype)), jnp.arange(steps))[1]
    off = lengths[:-1]
    values, vectors = jnp.linalg.eigh(jnp.diag(diagonal) + jnp.diag(off, 1) + jnp.diag(off, -1))
    return Lanczos(diagonal, off, values, vectors[0] ** 2)


def power_iteration(matvec: Matvec, like: Tree, key: jax.Array, steps: int) -> tuple[jax.Array, Tree]:
    """The eigenvalue largest in magnitude and its vector, after so many products with a random vector.

    The error shrinks by the ratio of the two largest eigenvalues with every step; `lanczos` needs fewer products.
    """
    flat, unravel = raveled(like)
    unit = lambda v: v / jnp.sqrt(jnp.sum(v * v))
    product = lambda v: raveled(matvec(unravel(v)))[0]
    first = unit(jax.random.normal(key, flat.shape, flat.dtype))
    v = jax.lax.fori_loop(0, steps, lambda i, v: unit(product(v)), first)
    return jnp.sum(v * product(v)), unravel(v)


def _mean(sample: Callable[[Any], Tree], samples: int) -> Tree:
    add = lambda i, total: jax.tree.map(jnp.add, total, sample(i))
    return jax.tree.map(lambda total: total / samples, jax.lax.fori_loop(1, samples, add, sample(0)))


def raveled(tree: Tree) -> tuple[jax.Array, Callable[[jax.Array], Tree]]:
    """All leaves as one vector in the widest of their types, float32 at least, and the way back."""
    dtypes = [jnp.dtype(jnp.float32), *(widen(leaf).dtype for leaf in jax.tree.leaves(tree))]
    return ravel_pytree(cast(tree, max(dtypes, key=lambda dtype: dtype.itemsize)))
