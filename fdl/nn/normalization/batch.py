"""Layers that normalise: moments and division in float32 at least, output in the type of the input."""

from functools import partial

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.channels import channel_mean, per_channel
from fdl.nn.layer import Layer, layer
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
        return (momentum * old + (1 - momentum) * jax.lax.stop_gradient(new)).astype(old.dtype)

    def apply(params, state, x, *, key=None, train=False):
        require_float(x)
        require_shape(x, None, ..., dim)
        wide, scale, bias = widen(x), widen(params["scale"]), widen(params["bias"])
        if not train:
            factor = scale * jax.lax.rsqrt(widen(state["var"]) + eps)
            y = (wide - per_channel(widen(state["mean"]), x)) * per_channel(factor, x) + per_channel(bias, x)
            return y.astype(x.dtype), state
        size = x.size // dim
        if size < 2:
            raise ShapeError(f"batch_norm needs two or more values a channel in training, got {x.shape}")
        y, mean, var = _normalise(wide, scale, bias, eps)
        carried = var * (size / (size - 1)) if unbiased else var
        return y.astype(x.dtype), {"mean": moved(state["mean"], mean), "var": moved(state["var"], carried)}

    return Layer(init, apply)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _normalise(x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x with this bias as mean and this scale as deviation of each channel, its own mean, its biased variance)."""
    mean = channel_mean(x)
    centred = x - per_channel(mean, x)
    var = channel_mean(centred * centred)
    return centred * per_channel(scale * jax.lax.rsqrt(var + eps), x) + per_channel(bias, x), mean, var


@_normalise.defjvp
def _normalise_jvp(eps, primals, tangents):
    # Written out so that the gradient needs two sums over the batch, of the cotangent and of its product with the
    # standardised input: each stands for the gradient of bias or scale and for a part of the gradient of x.
    (x, scale, bias), (dx, dscale, dbias) = primals, tangents
    y, mean, var = _normalise(x, scale, bias, eps)
    inverse = jax.lax.rsqrt(var + eps)
    standard = (x - per_channel(mean, x)) * per_channel(inverse, x)
    dmean, correlation = channel_mean(dx), channel_mean(dx * standard)
    slope = scale * inverse
    dy = dx * per_channel(slope, x) + per_channel(dbias - slope * dmean, x)
    dy = dy + standard * per_channel(dscale - slope * correlation, x)
    return (y, mean, var), (dy, dmean, 2 * correlation / inverse)
