"""Layers that go from positions back to space."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.convolution.conv import require_groups, window_of
from fdl.nn.convolution.geometry import output_paddings
from fdl.nn.convolution.primitive import convolve_transpose
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.pooling.window import Padding, per_axis


@layer
def conv_transpose(
    in_dim: int,
    out_dim: int,
    window: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "same",
    output_padding: int | Sequence[int] = 0,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """The adjoint of conv(out_dim, in_dim, ...), plus a bias.  (batch, *positions, in_dim) -> (batch, *space, out_dim)

    The kernel is that of this convolution, (*window, out_dim // groups, in_dim); kernel_init draws it as one from
    in_dim to out_dim.  Sizes are those of `convolve_transpose`.  https://arxiv.org/abs/1603.07285, chapter 4
    Raises ValueError where groups do not divide the channels, or for an output_padding not below stride or dilation.
    """
    window = window_of(window)
    rank = len(window)
    require_groups(groups, in_dim, out_dim)
    output_paddings(output_padding, per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation"), padding)
    how = {"stride": stride, "dilation": dilation, "groups": groups, "padding": padding}

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": _swapped(kernel_init(kernel_key, (*window, in_dim // groups, out_dim)), groups)}
        return kernel | {"bias": bias_init(bias_key, (out_dim,))} if use_bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, *(None,) * (rank + 1), in_dim)
        y = convolve_transpose(x, params["kernel"], output_padding=output_padding, **how)
        return y + per_channel(params["bias"], y) if use_bias else y

    return pure(init, apply)


def _swapped(kernel: jax.Array, groups: int) -> jax.Array:
    """(*window, in // groups, out) -> (*window, out // groups, in), group by group."""
    *window, inner, out_dim = kernel.shape
    split = kernel.reshape(*window, inner, groups, out_dim // groups)
    return jnp.swapaxes(split, -1, -3).reshape(*window, out_dim // groups, groups * inner)
