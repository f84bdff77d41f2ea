"""Normalisation by the neighbouring channels, as in AlexNet."""

import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.layer import Layer, layer, pure
from fdl.tree import widen


@layer
def local_response_norm(size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Layer:
    """x / (k + alpha * sum of the squares of `size` neighbouring channels) ** beta.  (..., dim) -> same shape

    Krizhevsky et al. 2012, section 3.3, with its constants.  torch divides alpha by size and has k = 1 by default:
    its alpha is size times this one.  Of an even size the extra neighbour is the one below.
    Raises ValueError for size < 1 and for k <= 0, where zeros would be divided by zero.
    """
    if size < 1:
        raise ValueError(f"size is a number of channels, at least 1, got {size}")
    if k <= 0:
        raise ValueError(f"k must be positive, so that zeros can be normalised, got {k}")

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., None)
        wide = widen(x)
        dim = x.shape[-1]
        around = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
        squares = jnp.pad(jnp.square(wide), around)
        energy = sum(squares[..., i : i + dim] for i in range(size))
        return (wide * (k + alpha * energy) ** -beta).astype(x.dtype)

    return pure(lambda key: {}, apply)
