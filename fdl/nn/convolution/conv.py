"""Layers that share one kernel over space."""

from collections.abc import Sequence

import jax

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.convolution.primitive import convolve
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure


@layer
def conv(
    in_dim: int,
    out_dim: int,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: str | int | Sequence[int | tuple[int, int]] = "same",
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """Cross-correlation with a shared kernel.  (batch, *space, in_dim) -> (batch, *positions, out_dim)

    The window has one size per axis of space, (5,) for signals, (3, 3) for images, (3, 3, 3) for volumes; a single
    number is a square window on images.  Paddings are those of `convolve`.
    Raises ValueError where groups do not divide in_dim and out_dim.
    """
    window = (window, window) if isinstance(window, int) else tuple(window)
    if in_dim % groups or out_dim % groups:
        raise ValueError(f"groups must divide in_dim and out_dim, got groups {groups} of {in_dim} and {out_dim}")

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
