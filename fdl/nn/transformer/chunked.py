"""Attention in memory linear in the number of queries and in the number of keys, forward and backward."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp

from fdl.nn.transformer.attend import PER_QUERY

QUERY_AXES = {"query": 1, "positions": 1, "segments": 1, "where": 2, "bias": 2}


def in_chunks(attend: Callable[..., jax.Array], arrays: Mapping[str, jax.Array | None], chunk: int) -> jax.Array:
    """attend(**arrays), at most `chunk` queries at a time.  -> (batch, time, heads, value_dim)

    The logits of one chunk exist at a time, and the backward pass computes them again instead of keeping them
    (https://arxiv.org/abs/2112.05682).  Plain scan and checkpoint: every derivative of any order works.
    """
    query = arrays["query"]
    assert query is not None
    time = query.shape[1]
    if time <= chunk:
        return attend(**arrays)
    steps = -(-time // chunk)
    chunk = -(-time // steps)
    cut = {name: x for name, x in arrays.items() if x is not None and _varies(name, x)}
    whole = {name: x for name, x in arrays.items() if name not in cut}

    @partial(jax.checkpoint, policy=jax.checkpoint_policies.save_only_these_names(PER_QUERY))
    def attend_chunk(rows):
        return attend(**rows, **whole)

    y = jax.lax.map(attend_chunk, {name: _cut(x, QUERY_AXES[name], steps, chunk) for name, x in cut.items()})
    y = jnp.moveaxis(y, 0, 1)
    return y.reshape(y.shape[0], steps * chunk, *y.shape[3:])[:, :time]


def _varies(name: str, x: jax.Array) -> bool:
    return name in QUERY_AXES and x.shape[QUERY_AXES[name]] > 1


def _cut(x: jax.Array, axis: int, steps: int, chunk: int) -> jax.Array:
    """The chunks along axis, as a new leading axis; the last is filled up."""
    fill = [(0, steps * chunk - n if i == axis else 0) for i, n in enumerate(x.shape)]
    split = jnp.pad(x, fill).reshape(*x.shape[:axis], steps, chunk, *x.shape[axis + 1 :])
    return jnp.moveaxis(split, axis, 0)
