"""Weight decay: the place in the chain makes the kind.

In front of an adaptive direction it is an L2 penalty, whose gradient is rescaled with the rest; behind it, it is
decoupled.  https://arxiv.org/abs/1711.05101
"""

import jax
import jax.numpy as jnp

from fdl.optim.leaves import widen
from fdl.optim.transform import Hyper, ScheduledState, Transform, require_number, scheduled, transform, value_at
from fdl.tree import Where, require_like, select


@transform
def add_weight_decay(weight_decay: Hyper, where: Where = "**/kernel") -> Transform:
    """Add weight_decay * parameter to the updates of the parameters meant.

    Raises TreeError where a pattern matches no parameter.
    """
    require_number("weight_decay", weight_decay, 0.0)

    def init(params):
        select(params, where)
        return ScheduledState(jnp.zeros((), jnp.int32))

    def update(updates, params, step):
        if params is None:
            raise TypeError("add_weight_decay needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        rate = jnp.asarray(value_at(weight_decay, step), float)

        def add(meant, u, p):
            wide = widen(u)
            return (wide + rate.astype(wide.dtype) * p.astype(wide.dtype)).astype(u.dtype) if meant else u

        return jax.tree.map(add, select(params, where), updates, params)

    return Transform(init, scheduled(update).update)
