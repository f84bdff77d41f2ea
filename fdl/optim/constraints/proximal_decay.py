"""Weight decay as a proximal step: the parameters are divided after the update, not shrunk before it."""

import jax
import jax.numpy as jnp

from fdl.optim.transform import Hyper, ScheduledState, Transform, require_number, scheduled, transform, value_at
from fdl.tree import Where, require_like, select, widen


@transform
def divide_weights(weight_decay: Hyper, learning_rate: Hyper, where: Where = "**/kernel") -> Transform:
    """Last in a chain: parameters meant become (p + update) / (1 + learning_rate * weight_decay).

    Adan's decay, https://arxiv.org/abs/2208.06677.  Raises TreeError where a pattern matches no parameter.
    """
    require_number("weight_decay", weight_decay, 0.0)
    require_number("learning_rate", learning_rate, 0.0)

    def init(params):
        select(params, where)
        return ScheduledState(jnp.zeros((), jnp.int32))

    def update(updates, params, step):
        if params is None:
            raise TypeError("divide_weights needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        rate = jnp.asarray(value_at(learning_rate, step), float) * jnp.asarray(value_at(weight_decay, step), float)

        def divide(meant, u, p):
            wide, own = widen(u), rate.astype(widen(u).dtype)
            return ((wide - own * p.astype(wide.dtype)) / (1 + own)).astype(u.dtype) if meant else u

        return jax.tree.map(divide, select(params, where), updates, params)

    return Transform(init, scheduled(update).update)
