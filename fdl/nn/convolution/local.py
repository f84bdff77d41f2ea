"""Layers that slide over space without sharing a kernel."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.cells import pad_space, taps
from fdl.nn.pooling.window import Padding, padding_pairs, per_axis, positions


@layer
def local_conv(
    in_dim: int,
    out_dim: int,
    window: int | Sequence[int],
    space: Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    padding: Padding = "same",
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """A convolution with a kernel and a bias of its own at each position.

    (batch, *space, in_dim) -> (batch, *positions, out_dim), kernel (*positions, *window, in_dim, out_dim).
    Options are those of `conv`.  Raises ShapeError where the window does not fit.
    """
    space, rank = tuple(space), len(space)
    window, stride = per_axis(window, rank, "window"), per_axis(stride, rank, "stride")
    dilation = per_axis(dilation, rank, "dilation")
    pads = padding_pairs(padding, space, window, stride, dilation)
    places = positions(space, window, stride, dilation, pads)

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        keys = jax.random.split(kernel_key, places)
        draw = lambda key: kernel_init(key, (*window, in_dim, out_dim))
        for _ in places:
            draw = jax.vmap(draw)
        kernel = {"kernel": draw(keys)}
        return kernel | {"bias": bias_init(bias_key, (*places, out_dim))} if use_bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, None, *space, in_dim)
        seen = jnp.concatenate(list(taps(pad_space(x, pads), window, stride, dilation)), axis=-1)
        kernel = params["kernel"].reshape(*places, math.prod(window) * in_dim, out_dim)
        y = jnp.einsum("n...i,...io->n...o", seen, kernel)
        return y + params["bias"][None] if use_bias else y

    return pure(init, apply)
