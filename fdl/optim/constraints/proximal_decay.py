"""Weight decay as a proximal step: the parameters are divided after the update, not shrunk before it."""

import jax.numpy as jnp

from fdl.optim.points import beside_params
from fdl.optim.transform import Hyper, Transform, require_number, transform, value_at
from fdl.tree import Where


@transform
def divide_weights(weight_decay: Hyper, learning_rate: Hyper, where: Where = "**/kernel") -> Transform:
    """Last in a chain: parameters meant become (p + update) / (1 + learning_rate * weight_decay).

    Adan's decay, https://arxiv.org/abs/2208.06677.  Raises TreeError where a pattern matches no parameter.
    """
    require_number("weight_decay", weight_decay, 0.0)
    require_number("learning_rate", learning_rate, 0.0)

    def divide(u, p, step):
        rate = jnp.asarray(value_at(learning_rate, step), u.dtype) * jnp.asarray(value_at(weight_decay, step), u.dtype)
        return (u - rate * p) / (1 + rate)

    return beside_params("divide_weights", divide, where, weight_decay, learning_rate)
