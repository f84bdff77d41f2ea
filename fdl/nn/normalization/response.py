"""Normalisation by the size of responses: of neighbouring channels, of each channel over space, of all of them."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
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


@layer
def filter_response_norm(dim: int, *, eps: float = 1e-6) -> Layer:
    """Divide each channel by its root mean square over space, then cut below a trained threshold.

    (batch, *space, dim) -> same shape; knows neither batch nor other channels.  https://arxiv.org/abs/1911.09737
    """

    def apply(params, x):
        wide = _wide_image(x, dim)
        square = jnp.mean(jnp.square(wide), range(1, x.ndim - 1), keepdims=True)
        scale, bias, threshold = (per_channel(widen(params[name]), x) for name in ("scale", "bias", "threshold"))
        return jnp.maximum(wide * jax.lax.rsqrt(square + eps) * scale + bias, threshold).astype(x.dtype)

    return pure(lambda key: {"scale": jnp.ones(dim), "bias": jnp.zeros(dim), "threshold": jnp.zeros(dim)}, apply)


@layer
def global_response_norm(dim: int, *, eps: float = 1e-6) -> Layer:
    """x + scale * x * (length of the channel over space / mean length of all channels) + bias; at first x itself.

    (batch, *space, dim) -> same shape.  https://arxiv.org/abs/2301.00808
    """

    def apply(params, x):
        wide = _wide_image(x, dim)
        square = jnp.sum(jnp.square(wide), range(1, x.ndim - 1), keepdims=True)
        # The root has no slope at zero; a silent channel gets none.
        length = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
        share = length / (jnp.mean(length, -1, keepdims=True) + eps)
        scale, bias = per_channel(widen(params["scale"]), x), per_channel(widen(params["bias"]), x)
        return (wide + scale * wide * share + bias).astype(x.dtype)

    return pure(lambda key: {"scale": jnp.zeros(dim), "bias": jnp.zeros(dim)}, apply)


def _wide_image(x: jax.Array, dim: int) -> jax.Array:
    require_float(x)
    require_shape(x, None, None, ..., dim)
    return widen(x)
