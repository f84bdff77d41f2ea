"""Gradients of every example of a batch: trees whose arrays have one more axis in front, that of the examples.

jax.vmap(jax.grad(loss), (None, 0))(params, examples) makes them; loss is that of one example.
"""

import math

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.optim.transform import require_number
from fdl.tree import Tree, norm, widen


def clip_per_example(grads: Tree, limit: float | jax.Array, *, by_array: bool = False) -> tuple[Tree, jax.Array]:
    """The mean of g * min(1, limit / |g|) over the examples, and the share that was clipped.  (n, ...) -> (...)

    |g| is the norm of all arrays of an example together.  by_array=True clips each array of an example by itself, at
    limit / sqrt(number of arrays), so that all together keep within the limit; the share is then that of the arrays.
    Summed in float32 at least.  https://arxiv.org/abs/1607.00133
    """
    require_number("limit", limit, 0.0)
    count = _examples(grads)
    leaves, structure = jax.tree.flatten(grads)
    sizes = [jax.vmap(norm)(leaf) for leaf in (leaves if by_array else [grads])]
    most = jnp.asarray(limit, sizes[0].dtype) / (math.sqrt(len(leaves)) if by_array else 1)
    factors = [jnp.where(size <= most, 1, most / jnp.where(size <= most, 1, size)) for size in sizes]
    by_leaf = factors if by_array else factors * len(leaves)
    means = [_weighted(factor, leaf) / count for factor, leaf in zip(by_leaf, leaves)]
    clipped = jnp.mean(jnp.stack([jnp.mean(size > most, dtype=size.dtype) for size in sizes]))
    return structure.unflatten([m.astype(leaf.dtype) for m, leaf in zip(means, leaves)]), clipped


def private_mean(grads: Tree, key: jax.Array, limit: float | jax.Array, noise: float | jax.Array) -> Tree:
    """The mean of clipped gradients plus N(0, (noise * limit / n)²) in every entry: DP-SGD.  (n, ...) -> (...)

    noise is the paper's multiplier sigma.  The key must be fresh and secret at every step.
    https://arxiv.org/abs/1607.00133, algorithm 1
    """
    require_number("noise", noise, 0.0)
    mean, _ = clip_per_example(grads, limit)
    keys = jax.tree.unflatten(jax.tree.structure(mean), list(jax.random.split(key, len(jax.tree.leaves(mean)))))
    spread = jnp.asarray(noise, float) * jnp.asarray(limit, float) / _examples(grads)

    def noisy(own, m):
        wide = widen(m)
        return (wide + spread.astype(wide.dtype) * jax.random.normal(own, m.shape, wide.dtype)).astype(m.dtype)

    return jax.tree.map(noisy, keys, mean)


def fisher_diagonal(grads: Tree) -> Tree:
    """The mean of g² over the examples: the diagonal of the Fisher matrix.  (n, ...) -> (...), float32 at least

    It is Fisher's where the labels are drawn from the model, the empirical one where they are those of the data.
    https://arxiv.org/abs/1412.1193
    """
    _examples(grads)
    return jax.tree.map(lambda g: jnp.mean(jnp.square(widen(g)), 0), grads)


def _weighted(factor: jax.Array, leaf: jax.Array) -> jax.Array:
    wide = widen(leaf)
    return jnp.tensordot(factor.astype(wide.dtype), wide, 1, precision="highest")


def _examples(grads: Tree) -> int:
    """How many examples there are.  Raises ShapeError where the arrays do not agree on it."""
    counts = {leaf.shape[:1] for leaf in jax.tree.leaves(grads)}
    if len(counts) != 1 or counts == {()} or counts == {(0,)}:
        raise ShapeError(
            f"gradients per example need one axis of examples in front of every array, got {sorted(counts)}; "
            "they are those of jax.vmap(jax.grad(loss), (None, 0))(params, examples)"
        )
    return counts.pop()[0]
