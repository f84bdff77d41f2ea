"""Layers that draw noise in training and do nothing otherwise."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float
from fdl.nn.layer import Layer, layer
from fdl.nn.noise.counter import noise_key
from fdl.tree import widen


@layer
def dropout(rate: float, *, plain: bool = False) -> Layer:
    """Set each value to zero with probability `rate` and divide the others by 1 - rate.  (...) -> same shape

    https://arxiv.org/abs/1207.0580, in the inverted form, so that evaluation does nothing.  The mask is a hash of key
    and place, `noise_key`; plain=True draws it by JAX's own generator, at many times the cost on a CPU.
    """
    require_rate(rate)

    def draw(key, x):
        keep = jax.random.bernoulli(key, 1 - rate, x.shape)
        return jnp.where(keep, x / (1 - rate), 0)

    return noisy(draw if rate else None, "dropout", plain)


@layer
def gaussian_noise(std: float) -> Layer:
    """Add normal noise of this standard deviation.  (...) -> same shape"""
    if std < 0:
        raise ValueError(f"std must be 0 or more, got {std}")

    def draw(key, x):
        noise = std * jax.random.normal(key, x.shape, widen(x).dtype)  # the same noise in every precision
        return x + noise.astype(x.dtype)

    return noisy(draw if std else None, "gaussian_noise")


def noisy(draw, kind: str, plain: bool = False) -> Layer:
    """The layer of draw(key, x) in training, its key a `noise_key` unless plain.

    A missing key is an error: noise is never off in silence.
    """

    def apply(params, state, x, *, key=None, train=False):
        require_float(x)
        if not train or draw is None:
            return x, state
        if key is None:
            raise ValueError(f"{kind} needs a key in training: apply(params, state, x, key=key, train=True)")
        return draw(key if plain else noise_key(key), x), state

    return Layer(lambda key: ({}, {}), apply)


def require_rate(rate: float) -> None:
    """Raise ValueError unless rate is a probability below 1."""
    if not 0 <= rate < 1:
        raise ValueError(f"rate is the probability of removal, in [0, 1), got {rate}")
