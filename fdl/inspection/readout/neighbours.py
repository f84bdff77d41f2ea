"""Nearest neighbours: what features tell without any training."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.compile import compile
from fdl.data import check_labels
from fdl.optim.transform import require_whole


def nearest_neighbours(
    x: jax.Array, labels: Any, queries: jax.Array, *, k: int, classes: int, batch: int = 200
) -> jax.Array:
    """How many of the k nearest examples of each query have each class.  (n, dim), int (n,), (m, dim) -> (m, classes)

    By Euclidean distance, all pairs, `batch` queries at a time; the votes can stand for logits.  Cover & Hart 1967
    Raises LabelError for labels that are no class, ValueError for more neighbours than examples.
    """
    require_float(x, "x")
    require_shape(x, None, None, name="x", hint="flatten features to one row an example")
    require_shape(labels, jnp.shape(x)[0], name="labels")
    require_shape(queries, None, jnp.shape(x)[1], name="queries")
    check_labels(labels, classes)
    require_whole("k", k)
    require_whole("batch", batch)
    if k > len(x):
        raise ValueError(f"k must be at most the number of examples, {len(x)}, got {k}")
    return _votes(x, jnp.asarray(labels), queries, k=k, classes=classes, batch=min(batch, len(queries)))


def _count(x, labels, queries, *, k, classes, batch):
    squares = jnp.sum(x * x, -1)

    def votes(rows):
        nearness = 2 * rows @ x.T - jnp.broadcast_to(squares, (batch, len(x)))  # that to the query itself is left out
        return jax.nn.one_hot(labels[jax.lax.top_k(nearness, k)[1]], classes, dtype=x.dtype).sum(1)

    missing = -len(queries) % batch
    padded = jnp.pad(queries, ((0, missing), (0, 0))).reshape(-1, batch, queries.shape[1])
    return jax.lax.map(votes, padded).reshape(-1, classes)[: len(queries)]


_votes = compile(_count, static_argnames=("k", "classes", "batch"))
