"""Layers that normalise: moments and division in float32 at least, output in the type of the input."""

from functools import partial

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.channels import channel_mean, per_channel
from fdl.nn.layer import Layer, layer
from fdl.tree import widen


@layer
def batch_norm(
    dim: int,
    *,
    momentum: float | None = 0.9,
    eps: float = 1e-5,
    unbiased: bool = True,
    axis_name: str | None = None,
) -> Layer:
    """Normalise each channel over the batch.  (batch, ..., dim) -> same shape  https://arxiv.org/abs/1502.03167

    In training with the moments of the batch; otherwise with the running ones carried in the state, which keep
    `momentum` of the old value a step, or with momentum=None are the mean over all steps.  The running variance is the
    unbiased one of the paper's algorithm 2 and of torch; unbiased=False carries the biased one, as flax does.
    axis_name is the axis of a mesh (`shard_map`) or of `vmap` over which a batch is split, and its moments are taken.
    Against torch: its momentum is 1 - this one (its None is None); its track_running_stats=False is train=True always.
    Raises ShapeError for a training batch with one value a channel.
    """

    def init(key):
        count = {"count": jnp.zeros(())} if momentum is None else {}
        return (
            {"scale": jnp.ones(dim), "bias": jnp.zeros(dim)},
            {"mean": jnp.zeros(dim), "var": jnp.ones(dim)} | count,
        )

    def moved(state, mean, var):
        count = {"count": state["count"] + 1} if momentum is None else {}
        keep = 1 - 1 / count["count"] if momentum is None else momentum
        mix = lambda old, new: (keep * old + (1 - keep) * jax.lax.stop_gradient(new)).astype(old.dtype)
        return {"mean": mix(state["mean"], mean), "var": mix(state["var"], var)} | count

    def apply(params, state, x, *, key=None, train=False):
        require_float(x)
        require_shape(x, None, ..., dim)
        wide, scale, bias = widen(x), widen(params["scale"]), widen(params["bias"])
        if not train:
            factor = scale * jax.lax.rsqrt(widen(state["var"]) + eps)
            y = (wide - per_channel(widen(state["mean"]), x)) * per_channel(factor, x) + per_channel(bias, x)
            return y.astype(x.dtype), state
        size = x.size // dim * (1 if axis_name is None else jax.lax.axis_size(axis_name))
        if size < 2:
            raise ShapeError(f"batch_norm needs two or more values a channel in training, got {x.shape}")
        y, mean, var = _normalise(wide, scale, bias, eps, axis_name)
        return y.astype(x.dtype), moved(state, mean, var * (size / (size - 1)) if unbiased else var)

    return Layer(init, apply)


def _mean(x: jax.Array, axis_name: str | None) -> jax.Array:
    """The mean of each channel, over all shards of the batch."""
    mean = channel_mean(x)
    return mean if axis_name is None else jax.lax.pmean(mean, axis_name)


@partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array, eps: float, axis_name: str | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x with this bias as mean and this scale as deviation of each channel, its own mean, its biased variance)."""
    mean = _mean(x, axis_name)
    centred = x - per_channel(mean, x)
    var = _mean(centred * centred, axis_name)
    return centred * per_channel(scale * jax.lax.rsqrt(var + eps), x) + per_channel(bias, x), mean, var


@_normalise.defjvp
def _normalise_jvp(eps, axis_name, primals, tangents):
    # Written out so that the gradient needs two sums over the batch, of the cotangent and of its product with the
    # standardised input: each stands for the gradient of bias or scale and for a part of the gradient of x.
    (x, scale, bias), (dx, dscale, dbias) = primals, tangents
    y, mean, var = _normalise(x, scale, bias, eps, axis_name)
    inverse = jax.lax.rsqrt(var + eps)
    standard = (x - per_channel(mean, x)) * per_channel(inverse, x)
    dmean, correlation = _mean(dx, axis_name), _mean(dx * standard, axis_name)
    slope = scale * inverse
    dy = dx * per_channel(slope, x) + per_channel(dbias - slope * dmean, x)
    dy = dy + standard * per_channel(dscale - slope * correlation, x)
    return (y, mean, var), (dy, dmean, 2 * correlation / inverse)
