"""Activations that draw noise in training."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float
from fdl.nn.layer import Layer, layer
from fdl.nn.noise.counter import noise_key
from fdl.tree import widen


@layer
def rrelu(lower: float = 1 / 8, upper: float = 1 / 3) -> Layer:
    """x where x > 0, slope x elsewhere, in training with a slope for each value, even on [lower, upper].

    (...) -> same shape; in evaluation the slope is (lower + upper) / 2.  https://arxiv.org/abs/1505.00853
    """
    if not 0 <= lower <= upper:
        raise ValueError(f"slopes must be 0 <= lower <= upper, got {lower} and {upper}")

    def apply(params, state, x, *, key=None, train=False):
        require_float(x)
        if not train or lower == upper:
            return jnp.where(x > 0, x, x * ((lower + upper) / 2)), state
        if key is None:
            raise ValueError("rrelu needs a key in training: apply(params, state, x, key=key, train=True)")
        wide = widen(x).dtype  # the same noise in every precision
        slope = jax.random.uniform(noise_key(key), x.shape, wide, lower, upper)
        return jnp.where(x > 0, x, x * slope.astype(x.dtype)), state

    return Layer(lambda key: ({}, {}), apply)
