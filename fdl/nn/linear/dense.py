"""Layers that are one product or one table."""

import jax

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.linear.product import times


@layer
def dense(
    in_dim: int,
    out_dim: int,
    *,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """Affine map of the last axis.  (..., in_dim) -> (..., out_dim)"""

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": kernel_init(kernel_key, (in_dim, out_dim))}
        return kernel | {"bias": bias_init(bias_key, (out_dim,))} if use_bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., in_dim)
        y = times(x, params["kernel"])
        return y + per_channel(params["bias"], y, shared=True) if use_bias else y

    return pure(init, apply)


@layer
def maxout(in_dim: int, out_dim: int, *, pieces: int = 2, kernel_init: Initializer = lecun_normal()) -> Layer:
    """The largest of `pieces` affine maps, unit by unit.  (..., in_dim) -> (..., out_dim)

    https://arxiv.org/abs/1302.4389; one convex, piecewise linear function a unit.
    """
    affine = dense(in_dim, pieces * out_dim, kernel_init=kernel_init)

    def apply(params, state, x, *, key=None, train=False):
        y, state = affine.apply(params, state, x)
        return y.reshape(*y.shape[:-1], pieces, out_dim).max(-2), state

    return Layer(affine.init, apply, is_pure=True)


@layer
def parameter(*shape: int, value_init: Initializer = zeros()) -> Layer:
    """A trained array by itself.  () -> shape"""
    return pure(lambda key: {"value": value_init(key, shape)}, lambda params: params["value"])
