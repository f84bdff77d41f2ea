"""A product of two inputs."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure


@layer
def bilinear(
    left_dim: int,
    right_dim: int,
    out_dim: int,
    *,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """Each unit a matrix between two inputs, left W right + b.  (..., left_dim), (..., right_dim) -> (..., out_dim)"""

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": kernel_init(kernel_key, (left_dim, right_dim, out_dim))}
        return kernel | {"bias": bias_init(bias_key, (out_dim,))} if use_bias else kernel

    def apply(params, left, right):
        require_float(left, "left")
        require_shape(left, ..., left_dim, name="left")
        require_shape(right, *left.shape[:-1], right_dim, name="right")
        y = jnp.einsum("...i,...j,ijo->...o", left, right, params["kernel"])
        return y + per_channel(params["bias"], y) if use_bias else y

    return pure(init, apply)
