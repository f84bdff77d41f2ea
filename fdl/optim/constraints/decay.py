"""Weight decay: the place in the chain makes the kind.

In front of an adaptive direction it is an L2 penalty, whose gradient is rescaled with the rest; behind it, it is
decoupled.  https://arxiv.org/abs/1711.05101
"""

import jax.numpy as jnp

from fdl.optim.points import beside_params
from fdl.optim.transform import Hyper, Transform, require_number, transform, value_at
from fdl.tree import Where


@transform
def add_weight_decay(weight_decay: Hyper, where: Where = "**/kernel") -> Transform:
    """Add weight_decay * parameter to the updates of the parameters meant.

    Raises TreeError where a pattern matches no parameter.
    """
    require_number("weight_decay", weight_decay, 0.0)

    def add(u, p, step):
        return u + jnp.asarray(value_at(weight_decay, step), u.dtype) * p

    return beside_params("add_weight_decay", add, where, weight_decay)
