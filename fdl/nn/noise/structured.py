"""Relatives of dropout: whole channels, examples or squares go, or the noise keeps other moments."""

import math

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.layer import Layer, layer
from fdl.nn.noise.dropout import noisy, require_rate
from fdl.nn.pooling.window import max_pool
from fdl.tree import widen

SELU_FLOOR = -1.7580993408473768
"""What selu tends to at minus infinity: -scale * alpha."""


@layer
def spatial_dropout(rate: float) -> Layer:
    """Set whole channels to zero, each with probability `rate`, and divide the others by 1 - rate.

    (batch, *space, dim) -> same shape; each example loses channels of its own.  https://arxiv.org/abs/1411.4280
    """
    require_rate(rate)

    def draw(key, x):
        batch, *space, dim = x.shape
        keep = jax.random.bernoulli(key, 1 - rate, (batch, *(1 for _ in space), dim))
        return jnp.where(keep, x / (1 - rate), 0)

    return noisy(draw if rate else None, "spatial_dropout")


@layer
def drop_path(rate: float) -> Layer:
    """Set whole examples to zero, each with probability `rate`, and divide the others by 1 - rate: stochastic depth.

    (batch, ...) -> same shape; for the branch of a residual, whose shortcut then carries the example alone:
    residual(part, drop_path(rate)).  https://arxiv.org/abs/1603.09382
    """
    require_rate(rate)

    def draw(key, x):
        keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0], *(1 for _ in x.shape[1:])))
        return jnp.where(keep, x / (1 - rate), 0)

    return noisy(draw if rate else None, "drop_path")


@layer
def alpha_dropout(rate: float) -> Layer:
    """Set each value to the floor of selu with probability `rate`, then restore mean and variance.  (...) -> same shape

    Input of mean 0 and variance 1, as selu makes it, keeps both.  https://arxiv.org/abs/1706.02515
    """
    require_rate(rate)
    scale = 1 / math.sqrt((1 - rate) * (1 + rate * SELU_FLOOR**2))
    shift = -scale * rate * SELU_FLOOR

    def draw(key, x):
        keep = jax.random.bernoulli(key, 1 - rate, x.shape)
        return jnp.where(keep, x, SELU_FLOOR) * scale + shift

    return noisy(draw if rate else None, "alpha_dropout")


@layer
def gaussian_dropout(rate: float) -> Layer:
    """Multiply by normal noise of mean 1 and variance rate / (1 - rate), that of dropout.  (...) -> same shape

    Srivastava et al. 2014, section 10, https://jmlr.org/papers/v15/srivastava14a.html
    """
    require_rate(rate)
    std = math.sqrt(rate / (1 - rate))

    def draw(key, x):
        noise = 1 + std * jax.random.normal(key, x.shape, widen(x).dtype)  # the same noise in every precision
        return x * noise.astype(x.dtype)

    return noisy(draw if rate else None, "gaussian_dropout")


@layer
def drop_block(rate: float, size: int) -> Layer:
    """Set squares of size x size cells of a channel to zero, about `rate` of all cells, and scale the others up.

    (batch, height, width, dim) -> same shape.  Squares lie inside the image and may overlap; what is left is multiplied
    by cells / cells left, over the whole batch, as in https://arxiv.org/abs/1810.12890, algorithm 1.
    Raises ShapeError in training for an image smaller than a square.
    """
    require_rate(rate)
    if size < 1:
        raise ValueError(f"size is the side of a square, at least 1, got {size}")

    def draw(key, x):
        if x.ndim != 4 or min(x.shape[1:3]) < size:
            raise ShapeError(
                f"drop_block needs (batch, height, width, dim) with sides of {size} or more, got {x.shape}"
            )
        batch, height, width, dim = x.shape
        places = (height - size + 1) * (width - size + 1)
        chance = min(1.0, rate * height * width / (size**2 * places))
        corners = jax.random.bernoulli(key, chance, (batch, height - size + 1, width - size + 1, dim))
        gone = max_pool(corners.astype(jnp.float32), size, stride=1, padding=size - 1)
        left = jnp.maximum(jnp.sum(1 - gone), 1)
        return jnp.where(gone > 0, 0, x * (x.size / left).astype(x.dtype))

    return noisy(draw if rate else None, "drop_block")
