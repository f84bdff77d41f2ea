"""Layers that look up rows of a table."""

import jax.numpy as jnp

from fdl.checks import require_integer
from fdl.nn.initializers import Initializer, normal
from fdl.nn.layer import Layer, layer, pure


@layer
def embedding(vocab: int, dim: int, *, table_init: Initializer = normal(1.0)) -> Layer:
    """A row of a table for each token.  int (...) -> (..., dim)

    A token outside [0, vocab) gives NaN, so that it cannot pass in silence.  The table may serve as output layer too:
    h @ embed.params["table"].T
    """

    def init(key):
        return {"table": table_init(key, (vocab, dim))}

    def apply(params, tokens):
        require_integer(tokens, "tokens", "embedding looks up integers; for real numbers use dense")
        return params["table"].at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

    return pure(init, apply)
