"""Gradients times a number: of all parameters, or of one value within a model."""

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.transform import Hyper, Transform, require_number, scheduled, transform, value_at
from fdl.tree import Tree


@transform
def scale_by(factor: Hyper) -> Transform:
    """Updates times a number or a schedule.  `scale_by_learning_rate` also turns them downhill."""
    require_number("factor", factor)

    def update(updates, params, step):
        return scale(updates, jnp.asarray(value_at(factor, step), float))

    return scheduled(update, factor)


def scale_gradient(x: Tree, factor: float | jax.Array) -> Tree:
    """x as it is, whose gradient comes back times factor: -1 turns it around, as adversarial domains want it.

    https://arxiv.org/abs/1505.07818
    """
    return jax.tree.map(lambda leaf: _scaled(leaf, jnp.asarray(factor).astype(leaf.dtype)), x)


@jax.custom_jvp
def _scaled(x: jax.Array, factor: jax.Array) -> jax.Array:
    """x, with the derivative of factor * x."""
    return x


_scaled.defjvp(lambda primals, tangents: (primals[0], primals[1] * tangents[0]))
