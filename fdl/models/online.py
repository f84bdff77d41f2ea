"""Learning one example after the other, which is how machines learned before there was backpropagation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_shape


class Learnt(NamedTuple):
    """The kernel after the last example, its mean over all examples, and what the update saw at each example."""

    kernel: jax.Array
    average: jax.Array
    seen: Any


def with_bias(x: ArrayLike) -> jax.Array:
    """A constant 1 as last input, whose weight is the bias.  (..., dim) -> (..., dim + 1)"""
    require_float(x)
    x = jnp.asarray(x)
    return jnp.concatenate([x, jnp.ones_like(x[..., :1])], -1)


def learn_online(update: Callable[..., tuple], kernel: ArrayLike, x: ArrayLike, target: ArrayLike) -> Learnt:
    """Fold update(kernel, x, target) -> (kernel, seen) over the examples, in the order given.

    kernel (dim, ...), x (examples, dim), target (examples, ...).  Raises ShapeError where these do not fit.
    """
    kernel, x, target = jnp.asarray(kernel), jnp.asarray(x), jnp.asarray(target)
    require_shape(x, None, kernel.shape[0], name="x", hint="with_bias adds the input of the bias")
    if not len(x) or target.shape[:1] != x.shape[:1]:
        raise ShapeError(f"there must be a target for each of at least one example, got {target.shape} for {x.shape}")

    def body(carried, example):
        kernel, total = carried
        kernel, seen = update(kernel, *example)
        return (kernel, total + kernel), seen

    (last, total), seen = jax.lax.scan(body, (kernel, jnp.zeros_like(kernel)), (x, target))
    return Learnt(last, total / len(x), seen)
