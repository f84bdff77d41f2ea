"""Gradient descent with averaged parameters, and with differences of gradients."""

import jax.numpy as jnp

from fdl.optim.adaptive.differences import add_difference
from fdl.optim.averages.averaging import average_params
from fdl.optim.constraints.decay import add_weight_decay
from fdl.optim.schedules.standard import inverse_time, schedule
from fdl.optim.transform import Hyper, Schedule, Transform, chain, require_constant, require_whole, transform
from fdl.optim.velocity import scale_by_learning_rate


@transform
def asgd(
    learning_rate: float = 1e-2, *, weight_decay: float = 1e-4, power: float = 0.75, start: int = 1_000_000
) -> Transform:
    """Averaged gradient descent with rates that fall by a power of the step, as in torch.

    Δ = −learning_rate / (1 + weight_decay learning_rate (t − 1))^power (g + weight_decay x)
    the mean of x is the result

    `averaged(opt_state, params)` reads the mean of the parameters since step `start`; before it, they are their own
    mean.  weight_decay acts on all parameters.  Polyak & Juditsky 1992, https://doi.org/10.1137/0330046
    """
    require_constant("learning_rate", learning_rate, 0.0)
    require_constant("weight_decay", weight_decay, 0.0)
    still = learning_rate * weight_decay == 0
    rate = learning_rate if still else inverse_time(learning_rate, 1 / (weight_decay * learning_rate), power)
    step = chain(add_weight_decay(weight_decay, "**"), scale_by_learning_rate(rate))
    return chain(step, average_params(mean_since(start)))


@transform
def optimistic_sgd(learning_rate: Hyper, strength: Hyper = 1.0) -> Transform:
    """Gradient descent that expects the gradient to change again as it just did.  https://arxiv.org/abs/1711.00141

    Δ = −learning_rate (g + strength (g − g'))
    """
    return chain(add_difference(strength), scale_by_learning_rate(learning_rate))


@schedule
def mean_since(start: int) -> Schedule:
    """The decay with which `average_params` is the mean of all parameters since step start."""
    require_whole("start", start, 0)
    return lambda step: 1 - 1 / jnp.maximum(jnp.asarray(step) - start, 1).astype(float)
