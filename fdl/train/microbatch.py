"""A batch in parts: the gradient of the whole from parts that fit into memory, one after the other."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, describe
from fdl.tree import Tree, map_with_path, widen

Measure: TypeAlias = Callable[[Tree, Tree, Any, jax.Array], tuple[tuple, Tree]]


def in_microbatches(measure: Measure, count: int) -> Measure:
    """measure(params, state, batch, key) -> ((loss, (state, metrics)), gradients), over `count` equal parts.

    Loss, metrics and gradients are means over the parts, summed in float32 at least; where the metrics have a "weight"
    (the tokens or examples that the loss is a mean of) they are means weighted by it, and "weight" is its sum, so that
    masks may differ between parts and a part of weight 0 counts for nothing.  The state goes from part to part, so
    batch norm sees batches of a part's size; part i draws its noise from fold_in(key, i).
    Raises ShapeError where a leading axis of the batch cannot be cut.
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"microbatches must be a whole number, at least 1, got {count!r}")
    if count == 1:
        return measure

    def measured(params, carried, batch, key):
        parts = map_with_path(lambda path, leaf: _cut(path, leaf, count), batch)

        def one(carried, i):
            part = jax.tree.map(lambda leaf: leaf[i], parts)
            (loss, (carried, metrics)), grads = measure(params, carried, part, jax.random.fold_in(key, i))
            return carried, (loss, metrics, grads)

        def add(carry, i):
            carried, sums, total = carry
            carried, means = one(carried, i)
            weight = _weight(means[1])
            return (
                carried,
                jax.tree.map(lambda s, m: s + _times(weight, m, s.dtype), sums, means),
                total + weight,
            ), None

        like = jax.eval_shape(one, carried, jnp.int32(0))[1]
        sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _sum_type(leaf)), like)
        start = carried, sums, jnp.zeros((), float)
        (carried, sums, total), _ = jax.lax.scan(add, start, jnp.arange(count, dtype=jnp.int32))
        loss, metrics, grads = jax.tree.map(lambda s, leaf: _mean(s, total, leaf), sums, like)
        metrics = {name: total.astype(value.dtype) if name == "weight" else value for name, value in metrics.items()}
        return (loss, (carried, metrics)), grads

    return measured


def _cut(path: str, leaf: Any, count: int) -> jax.Array:
    """(count * n, ...) -> (count, n, ...)"""
    shape = jnp.shape(leaf)
    if not shape or shape[0] % count:
        raise ShapeError(
            f"{path or 'batch'} is {describe(leaf)}: its leading axis cannot be cut into {count} equal parts"
        )
    return jnp.reshape(jnp.asarray(leaf), (count, shape[0] // count, *shape[1:]))


def _weight(metrics: dict[str, Any]) -> jax.Array:
    return jnp.asarray(metrics.get("weight", 1), float)


def _times(weight: jax.Array, x: jax.Array, dtype: Any) -> jax.Array:
    """weight * x, and 0 where the weight is: a mean over nothing is 0 / 0."""
    return jnp.where(weight == 0, 0, weight.astype(dtype) * x.astype(dtype))


def _mean(total: jax.Array, weight: jax.Array, like: Any) -> jax.Array:
    mean = total / jnp.where(weight == 0, 1, weight).astype(total.dtype)
    return mean.astype(like.dtype) if jnp.issubdtype(like.dtype, jnp.inexact) else mean


def _sum_type(leaf: Any) -> Any:
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return jnp.zeros((), float).dtype
    return jax.eval_shape(widen, leaf).dtype
