"""Layers that normalise within one example: by its root mean square, or by the moments of groups of its channels."""

import math

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.layer import Layer, layer, pure
from fdl.tree import widen


@layer
def group_norm(dim: int, groups: int, *, eps: float = 1e-5, affine: bool = True) -> Layer:
    """Normalise each example over space and a group of neighbouring channels.  (batch, *space, dim) -> same shape

    affine=False leaves out the trained scale and bias.  https://arxiv.org/abs/1803.08494
    Raises ValueError where groups do not divide dim, ShapeError where a group is a single value.
    """
    if groups < 1 or dim % groups:
        raise ValueError(f"groups must divide dim, got {groups} groups of {dim} channels")

    def init(key):
        return {"scale": jnp.ones(dim), "bias": jnp.zeros(dim)} if affine else {}

    def apply(params, x):
        require_float(x)
        require_shape(x, None, ..., dim)
        y = _standardise(x, groups, eps)
        if affine:
            y = y * per_channel(widen(params["scale"]), y) + per_channel(widen(params["bias"]), y)
        return y.astype(x.dtype)

    return pure(init, apply)


@layer
def instance_norm(dim: int, *, eps: float = 1e-5, affine: bool = True) -> Layer:
    """Normalise each channel of each example over space.  (batch, *space, dim) -> same shape

    affine=False, torch's default, leaves out the trained scale and bias.  https://arxiv.org/abs/1607.08022
    Raises ShapeError where space is a single position.
    """
    return group_norm(dim, dim, eps=eps, affine=affine)


def _standardise(x: jax.Array, groups: int, eps: float) -> jax.Array:
    """Each group of channels with mean 0 and biased variance 1, in float32 at least."""
    batch, *space, dim = x.shape
    if math.prod(space) * dim // groups < 2:
        raise ShapeError(
            f"{groups} groups of {x.shape} have a single value each, which normalises to zero; "
            "normalise before space is pooled away, or use fewer groups"
        )
    grouped = widen(x).reshape(batch, math.prod(space), groups, dim // groups)
    centred = grouped - jnp.mean(grouped, (1, 3), keepdims=True)
    var = jnp.mean(jnp.square(centred), (1, 3), keepdims=True)
    return (centred * jax.lax.rsqrt(var + eps)).reshape(x.shape)
