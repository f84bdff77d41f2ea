"""Channels in another order, and channels traded for space."""

import itertools

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_shape
from fdl.nn.layer import Layer, layer, pure


@layer
def channel_shuffle(groups: int) -> Layer:
    """The channels of each group dealt out in turn, so that grouped convolutions mix.  (..., dim) -> same shape

    https://arxiv.org/abs/1707.01083.  Raises ShapeError where groups do not divide dim.
    """
    _require_positive("groups", groups)

    def apply(params, x):
        _require_divisible(x, groups)
        dealt = jnp.swapaxes(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -1, -2)
        return dealt.reshape(x.shape)

    return pure(lambda key: {}, apply)


@layer
def pixel_shuffle(factor: int) -> Layer:
    """Each pixel as a square of pixels.  (batch, *space, dim * cells) -> (batch, *(factor * space), dim)

    The factor ** 2 cells of an image's pixel are neighbouring channels, as in torch.  https://arxiv.org/abs/1609.05158
    Raises ShapeError where the cells do not divide the channels.
    """
    _require_positive("factor", factor)

    def apply(params, x):
        batch, *space, dim = _image(x).shape
        rank = len(space)
        _require_divisible(x, factor**rank)
        cells = x.reshape(batch, *space, dim // factor**rank, *(factor,) * rank)
        pairs = itertools.chain(*((1 + i, rank + 2 + i) for i in range(rank)))
        return cells.transpose(0, *pairs, rank + 1).reshape(batch, *(factor * n for n in space), dim // factor**rank)

    return pure(lambda key: {}, apply)


@layer
def pixel_unshuffle(factor: int) -> Layer:
    """Each square of pixels as one pixel, the inverse of `pixel_shuffle`.

    (batch, *space, dim) -> (batch, *(space / factor), dim * cells)
    Raises ShapeError where factor does not divide space.
    """
    _require_positive("factor", factor)

    def apply(params, x):
        batch, *space, dim = _image(x).shape
        if any(n % factor for n in space):
            raise ShapeError(f"factor must divide the space, got factor {factor} of input {x.shape}; crop or pad it")
        cells = x.reshape(batch, *itertools.chain(*((n // factor, factor) for n in space)), dim)
        rank = len(space)
        order = (0, *range(1, 2 * rank, 2), 2 * rank + 1, *range(2, 2 * rank + 1, 2))
        return cells.transpose(order).reshape(batch, *(n // factor for n in space), dim * factor**rank)

    return pure(lambda key: {}, apply)


def _image(x: jax.Array) -> jax.Array:
    require_shape(x, None, None, ..., None)
    return x


def _require_positive(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _require_divisible(x: jax.Array, parts: int) -> None:
    if x.shape[-1] % parts:
        raise ShapeError(f"the channels must be a multiple of {parts}, got input {x.shape}")
