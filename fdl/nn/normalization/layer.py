"""Layers that normalise each example over its last axis."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.layer import Layer, layer, pure
from fdl.tree import widen


@layer
def layer_norm(dim: int, *, eps: float = 1e-5, use_bias: bool = True) -> Layer:
    """Normalise each example over its last axis.  (..., dim) -> same shape  https://arxiv.org/abs/1607.06450"""

    def init(key):
        scale = {"scale": jnp.ones(dim)}
        return scale | {"bias": jnp.zeros(dim)} if use_bias else scale

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., dim)
        wide = widen(x)
        centred = wide - jnp.mean(wide, -1, keepdims=True)
        y = centred * jax.lax.rsqrt(jnp.mean(jnp.square(centred), -1, keepdims=True) + eps)
        return _affine(params, y.astype(x.dtype))

    return pure(init, apply)


@layer
def rms_norm(dim: int, *, eps: float = 1e-6) -> Layer:
    """Divide by the root mean square over the last axis.  (..., dim) -> same shape  https://arxiv.org/abs/1910.07467

    torch's eps is by default that of the element type: 1.2e-7 in float32, 2.2e-16 in float64.
    """

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., dim)
        wide = widen(x)
        y = wide * jax.lax.rsqrt(jnp.mean(jnp.square(wide), -1, keepdims=True) + eps)
        return (y * per_channel(widen(params["scale"]), y)).astype(x.dtype)

    return pure(lambda key: {"scale": jnp.ones(dim)}, apply)


def _affine(params: dict, x: jax.Array) -> jax.Array:
    y = x * per_channel(params["scale"], x)
    return y + per_channel(params["bias"], y) if "bias" in params else y
