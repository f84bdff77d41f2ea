"""Layers that normalise: moments and division in float32 at least, output in the type of the input."""

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.layer import Layer, layer, pure
from fdl.tree import widen


@layer
def batch_norm(dim: int, *, momentum: float = 0.9, eps: float = 1e-5, unbiased: bool = True) -> Layer:
    """Normalise each channel over the batch.  (batch, ..., dim) -> same shape  https://arxiv.org/abs/1502.03167

    In training with the moments of the batch; otherwise with the running ones carried in the state, which keep
    `momentum` of the old value a step (torch's momentum is 1 - this one).  The running variance is the unbiased one of
    the paper's algorithm 2 and of torch; unbiased=False carries the biased one, as flax does.
    Raises ShapeError for a training batch with one value a channel.
    """

    def init(key):
        return (
            {"scale": jnp.ones(dim), "bias": jnp.zeros(dim)},
            {"mean": jnp.zeros(dim), "var": jnp.ones(dim)},
        )

    def moved(old, new):
        return (momentum * old + (1 - momentum) * jax.lax.stop_gradient(new).reshape(dim)).astype(old.dtype)

    def apply(params, state, x, *, key=None, train=False):
        require_float(x)
        require_shape(x, None, ..., dim)
        if not train:
            mean, var = (per_channel(widen(state[name]), x) for name in ("mean", "var"))
            return _affine(params, _normalise(x, mean, var, eps)), state
        size = x.size // dim
        if size < 2:
            raise ShapeError(f"batch_norm needs two or more values a channel in training, got {x.shape}")
        mean, var = moments(x, tuple(range(x.ndim - 1)))
        carried = var * (size / (size - 1)) if unbiased else var
        state = {"mean": moved(state["mean"], mean), "var": moved(state["var"], carried)}
        return _affine(params, _normalise(x, mean, var, eps)), state

    return Layer(init, apply)


@layer
def layer_norm(dim: int, *, eps: float = 1e-5, use_bias: bool = True) -> Layer:
    """Normalise each example over its last axis.  (..., dim) -> same shape  https://arxiv.org/abs/1607.06450"""

    def init(key):
        scale = {"scale": jnp.ones(dim)}
        return scale | {"bias": jnp.zeros(dim)} if use_bias else scale

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., dim)
        return _affine(params, _normalise(x, *moments(x, (-1,)), eps))

    return pure(init, apply)


def moments(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance over these axes, which stay with length one; in float32 at least."""
    mean = jnp.mean(widen(x), axes, keepdims=True)
    return mean, jnp.mean(jnp.square(widen(x) - mean), axes, keepdims=True)


def _normalise(x: jax.Array, mean: jax.Array, var: jax.Array, eps: float) -> jax.Array:
    return ((widen(x) - mean) * jax.lax.rsqrt(var + eps)).astype(x.dtype)


def _affine(params: dict, x: jax.Array) -> jax.Array:
    y = x * per_channel(params["scale"], x)
    return y + per_channel(params["bias"], y) if "bias" in params else y
