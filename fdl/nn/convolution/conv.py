"""Layers that share one kernel over space."""

from collections.abc import Sequence
from typing import Any

import jax

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.compose import serial
from fdl.nn.convolution.primitive import convolve
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.linear.dense import dense
from fdl.nn.pooling.window import Padding


@layer
def conv(
    in_dim: int,
    out_dim: int,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "same",
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """Cross-correlation with a shared kernel.  (batch, *space, in_dim) -> (batch, *positions, out_dim)

    The window has one size per axis of space, (5,) for signals, (3, 3) for images, (3, 3, 3) for volumes; a single
    number is a square window on images.  Paddings are those of `convolve`.
    Raises ValueError where groups do not divide in_dim and out_dim.
    """
    window = window_of(window)
    require_groups(groups, in_dim, out_dim)

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": kernel_init(kernel_key, (*window, in_dim // groups, out_dim))}
        return kernel | {"bias": bias_init(bias_key, (out_dim,))} if use_bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, *(None,) * (len(window) + 1), in_dim)
        y = convolve(x, params["kernel"], stride=stride, dilation=dilation, groups=groups, padding=padding)
        return y + per_channel(params["bias"], y) if use_bias else y

    return pure(init, apply)


@layer
def depthwise_conv(dim: int, window: int | Sequence[int], *, multiplier: int = 1, **options: Any) -> Layer:
    """`multiplier` kernels of its own for each channel.  (batch, *space, dim) -> (batch, *positions, dim * multiplier)

    The outputs of one channel stand side by side.  Options are those of `conv`.
    """
    return conv(dim, dim * multiplier, window, groups=dim, **options)


@layer
def separable_conv(
    in_dim: int,
    out_dim: int,
    window: int | Sequence[int],
    *,
    multiplier: int = 1,
    use_bias: bool = True,
    **options: Any,
) -> Layer:
    """`depthwise_conv` over space, then `dense` over channels.  (batch, *space, in_dim) -> (batch, *positions, out_dim)

    One bias, after both.  Other options are those of `conv`, for the first; https://arxiv.org/abs/1610.02357
    """
    return serial(
        depthwise=depthwise_conv(in_dim, window, multiplier=multiplier, use_bias=False, **options),
        pointwise=dense(in_dim * multiplier, out_dim, use_bias=use_bias),
    )


@layer
def causal_conv(in_dim: int, out_dim: int, window: int, *, dilation: int = 1, **options: Any) -> Layer:
    """Output t sees inputs t, t - dilation, ..., never later ones.  (batch, time, in_dim) -> (batch, time, out_dim)

    Other options are those of `conv`; https://arxiv.org/abs/1609.03499
    """
    before = [((window - 1) * dilation, 0)]
    return conv(in_dim, out_dim, (window,), dilation=dilation, padding=before, **options)


def window_of(window: int | Sequence[int]) -> tuple[int, ...]:
    """One size per axis of space; a single number is a square."""
    return (window, window) if isinstance(window, int) else tuple(window)


def require_groups(groups: int, in_dim: int, out_dim: int) -> None:
    """Raise ValueError unless groups divide the channels on both sides."""
    if groups < 1 or in_dim % groups or out_dim % groups:
        raise ValueError(f"groups must divide in_dim and out_dim, got groups {groups} of {in_dim} and {out_dim}")
