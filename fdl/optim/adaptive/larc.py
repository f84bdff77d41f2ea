"""LARC: LARS as a brake, never faster than the learning rate."""

import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.points import beside_params
from fdl.optim.transform import Hyper, Transform, chain, require_constant, require_number, transform, value_at
from fdl.optim.velocity import accumulate, scale_by_learning_rate
from fdl.tree import Where, norm


@transform
def scale_by_larc(
    learning_rate: Hyper, coefficient: float = 1e-3, *, weight_decay: float = 0.0, where: Where = "**/kernel"
) -> Transform:
    """(g + weight_decay w) min(1, coefficient |w| / ((|g| + weight_decay |w|) learning_rate)), for each array meant.

    The learning rate stands behind, as usual, and has to be told here too.  Where a norm is 0 the array passes as it
    is.  Raises TreeError where a pattern matches no parameter.
    """
    require_number("learning_rate", learning_rate, 0.0)
    require_constant("coefficient", coefficient, 0.0)
    require_constant("weight_decay", weight_decay, 0.0)

    def brake(u, p, step):
        size, length = norm(p), norm(u)
        known = (size > 0) & (length > 0)
        own = coefficient * size / jnp.where(length == 0, 1, length + weight_decay * size)
        rate = jnp.asarray(value_at(learning_rate, step), own.dtype)
        slow = scale(u + weight_decay * p, jnp.minimum(1, own / jnp.where(rate == 0, 1, rate)))
        return jnp.where(known, slow, u)

    return beside_params("scale_by_larc", brake, where, learning_rate)


@transform
def larc(
    learning_rate: Hyper,
    momentum: Hyper = 0.9,
    *,
    weight_decay: float = 1e-4,
    coefficient: float = 1e-3,
    where: Where = "**/kernel",
) -> Transform:
    """SGD with momentum whose rate for each kernel is LARS's or its own, whichever is less.

    u = min(1, coefficient |x| / ((|g| + weight_decay |x|) learning_rate)) (g + weight_decay x)
    v ← momentum v + u;  Δ = −learning_rate v

    https://arxiv.org/abs/1708.03888, clipped as by NVIDIA's apex.
    """
    direction = scale_by_larc(learning_rate, coefficient, weight_decay=weight_decay, where=where)
    return chain(direction, accumulate(momentum), scale_by_learning_rate(learning_rate))
