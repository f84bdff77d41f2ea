"""Additive attention, the first of its kind: a small network scores each place of a memory."""

import jax
import jax.numpy as jnp

from fdl.checks import require_mask, require_shape
from fdl.nn.activations import softmax
from fdl.nn.compose import wire
from fdl.nn.layer import Layer, layer
from fdl.nn.linear import dense


@layer
def additive_attention(query_dim: int, memory_dim: int, dim: int) -> Layer:
    """Means of a memory with weights softmax(v tanh(W x + U memory)).  https://arxiv.org/abs/1409.0473

    x (batch, time, query_dim), memory (batch, keys, memory_dim), optional where bool (batch, keys)
    -> context (batch, time, memory_dim), weights (batch, time, keys)

    where is False at places not to be looked at; an example without any other gives zeros.
    """

    def forward(x, memory, where=None, *, query, key, score):
        require_shape(x, None, None, query_dim)
        require_shape(memory, x.shape[0], None, memory_dim, name="memory")
        if where is not None:
            require_shape(where, *memory.shape[:2], name="where", hint="one truth value for each place of the memory")
        hidden = jnp.tanh(jnp.expand_dims(query(x), 2) + jnp.expand_dims(key(memory), 1))
        weights = _weights(score(hidden)[..., 0], require_mask(where, memory.shape[:2]))
        return weights @ memory, weights

    return wire(
        forward,
        query=dense(query_dim, dim, use_bias=False),
        key=dense(memory_dim, dim, use_bias=False),
        score=dense(dim, 1, use_bias=False),
    )


def _weights(scores: jax.Array, where: jax.Array | None) -> jax.Array:
    """Softmax over the last axis (batch, time, keys), zero where (batch, keys) is False."""
    if where is None:
        return softmax(scores)
    seen = jnp.broadcast_to(where[:, None], scores.shape)
    # Finite, so that a row without any place has a gradient of zero and not NaN.
    return jnp.where(seen, softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min)), 0)
