"""Negative log-likelihoods of numbers: elementwise, from parameters that may be any number."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair


def poisson_nll(
    log_rate: ArrayLike, target: ArrayLike, *, full: bool = False, where: ArrayLike | None = None
) -> jax.Array:
    """exp(log_rate) - target log_rate: -log of the Poisson probability of the count target, in nats.

    (shape), float (shape) -> (shape)

    Without the term log(target!), which no parameter changes; full adds it.  The derivative is exp(log_rate) - target.
    A rate of 0 (log_rate -inf) is 0 for a count of 0.
    """
    require_pair(log_rate, target, "log_rate")
    keep = require_mask(where, jnp.shape(log_rate))
    log_rate, target = keep_only(keep, *promote(log_rate, target))
    zero = (target == 0) & jnp.isneginf(log_rate)
    loss = jnp.exp(log_rate) - target * jnp.where(zero, 0, log_rate)
    if full:
        loss = loss + jax.lax.lgamma(target + 1)
    return masked(keep, loss)


def gaussian_nll(
    mean: ArrayLike, target: ArrayLike, log_var: ArrayLike, *, full: bool = False, where: ArrayLike | None = None
) -> jax.Array:
    """½ (log_var + (target - mean)² / exp(log_var)): -log of a normal density, in nats.  (shape) x 3 -> (shape)

    Takes the logarithm of the variance, so that none is 0 or negative; for a variance v > 0 pass log(v).  Without the
    constant ½ log 2π; full adds it.
    """
    require_pair(mean, target, "mean")
    require_float(log_var, "log_var")
    require_shape(log_var, *jnp.shape(mean), name="log_var", hint="it must be that of mean; broadcast it yourself")
    keep = require_mask(where, jnp.shape(mean))
    mean, target, log_var = keep_only(keep, *promote(mean, target, log_var))
    loss = (log_var + jnp.square(target - mean) * jnp.exp(-log_var)) / 2
    if full:
        loss = loss + math.log(2 * math.pi) / 2
    return masked(keep, loss)
