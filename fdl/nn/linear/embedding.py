"""Layers that look up rows of a table, and the table as output layer."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_integer, require_shape
from fdl.nn.initializers import Initializer, normal
from fdl.nn.layer import Layer, layer, pure
from fdl.tree import widen

ALIGNED = 64  # what tensor cores want the sizes of 16-bit products to be multiples of


@layer
def embedding(vocab: int, dim: int, *, table_init: Initializer = normal(1.0)) -> Layer:
    """A row of a table for each token.  int (...) -> (..., dim)

    A token outside [0, vocab) gives NaN, so that it cannot pass in silence.  The table may serve as output layer too:
    unembed(h, embed.params["table"]).  Gradients of a 16-bit table are summed over tokens in float32.
    """

    def init(key):
        return {"table": table_init(key, (vocab, dim))}

    def apply(params, tokens):
        require_integer(tokens, "tokens", "embedding looks up integers; for real numbers use dense")
        table = params["table"]
        # From wide rows, whose gradient is a sum in float32: in bfloat16 it stands still after 256 equal terms.
        rows = jnp.asarray(widen(table)).at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return rows.astype(table.dtype)

    return pure(init, apply)


def unembed(h: jax.Array, table: jax.Array) -> jax.Array:
    """h @ table.T: how much h is like each row of a table of embeddings.  (..., dim), (vocab, dim) -> (..., vocab)

    A 16-bit table is filled up with rows of zeros to a multiple of 64 for the product alone: with a vocabulary of
    50,257 a GPU takes one and a half times as long otherwise.
    """
    require_float(h, "h")
    require_shape(table, None, jnp.shape(h)[-1], name="table", hint="(vocab, dim), as embedding holds it")
    vocab = table.shape[0]
    if table.dtype.itemsize < 4:
        table = jnp.pad(table, ((0, -vocab % ALIGNED), (0, 0)))
    return (h @ table.T)[..., :vocab]
