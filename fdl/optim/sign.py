"""Steps by the sign of the gradient alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class RPropState(NamedTuple):
    """The size of every parameter's step, and the sign of its last gradient (0 after a change of sign)."""

    size: Tree
    sign: Tree


@transform
def scale_by_rprop(
    size: float | jax.Array = 0.1,
    *,
    shrink: float = 0.5,
    grow: float = 1.2,
    bounds: tuple[float, float] = (1e-6, 50.0),
) -> Transform:
    """Replace gradients by their signs times sizes that grow while a sign lasts and shrink when it changes.

    Rprop- with a pause after each change of sign, as in torch: that step is 0.  For full batches only: on small ones
    the signs are noise.  https://doi.org/10.1109/ICNN.1993.298623
    """
    low, high = bounds
    require_constant("bounds[0]", low, 0.0)
    require_constant("bounds[1]", high, low)
    if not isinstance(size, jax.Array):
        require_constant("size", size, low, high)
    require_constant("shrink", shrink, 0.0, 1.0)
    require_constant("grow", grow, 1.0)

    def init(params):
        require_real(params)
        return RPropState(moments(params, size), moments(params))

    def update(updates, state, params=None, **extras):
        def rule(g, size, last):
            agree = g * last  # last is a sign: a product of two gradients could underflow
            size = size * jnp.where(agree > 0, grow, jnp.where(agree < 0, shrink, 1.0))
            size = jnp.where(size < low, low, jnp.where(size > high, high, size))  # jnp.clip: 3 times slower on CPU
            sign = jnp.where(agree < 0, 0.0, jnp.sign(g))
            return sign * size, size, sign

        updates, size, sign = each_leaf(rule, updates, *state)
        return updates, RPropState(size, sign)

    return Transform(init, update)
