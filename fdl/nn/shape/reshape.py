"""The same values on other axes."""

import math

import jax

from fdl.checks import ShapeError
from fdl.nn.layer import Layer, layer, pure


def flatten(x: jax.Array) -> jax.Array:
    """All axes but the first as one.  (batch, ...) -> (batch, size)"""
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


@layer
def reshape(*shape: int) -> Layer:
    """The same values, row by row, on these axes.  (batch, ...) -> (batch, *shape)

    Raises ShapeError where an example has another number of values.
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"shape must say every size, without the batch, got {shape}")

    def apply(params, x):
        if math.prod(x.shape[1:]) != math.prod(shape):
            raise ShapeError(f"an example must have {math.prod(shape)} values to become {shape}, got input {x.shape}")
        return x.reshape(x.shape[0], *shape)

    return pure(lambda key: {}, apply)
