"""How far one distribution is from another."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair


def kl_divergence(
    log_probs: ArrayLike, target: ArrayLike, *, log_target: bool = False, where: ArrayLike | None = None
) -> jax.Array:
    """KL(target ‖ model) = Σ target (log target - log_probs) over the last axis, in nats.

    (..., classes), (..., classes) -> (...)

    log_probs are the model's log-probabilities, as `log_softmax(logits)` gives them; target are probabilities, or their
    logarithms with log_target.  Neither is normalised here.  A class of target probability 0 counts 0, also where
    log_probs is -inf, and a negative target gives NaN.  For KL(model ‖ target) pass log(target) and the model's
    probabilities.
    """
    require_pair(log_probs, target, "log_probs")
    require_shape(log_probs, ..., None, name="log_probs", hint="the classes are the last axis")
    keep = require_mask(where, jnp.shape(log_probs)[:-1])
    log_probs, target = keep_only(keep, *promote(log_probs, target))
    zero = jnp.isneginf(target) if log_target else target == 0
    log_target_ = jnp.where(zero, 0, target) if log_target else jnp.log(jnp.where(zero, 1, target))
    probs = jnp.where(zero, 0, jnp.exp(log_target_)) if log_target else target
    log_probs = jnp.where(zero & jnp.isneginf(log_probs), 0, log_probs)
    return masked(keep, jnp.sum(probs * (log_target_ - log_probs), axis=-1))


def jensen_shannon(*probs: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Mean of KL(p ‖ m) over two or more distributions p, for their mean m, over the last axis, in nats.

    (..., classes) each -> (...)

    0 for equal ones and log(count) at most.  It is the consistency of three views of https://arxiv.org/abs/1912.02781.
    """
    if len(probs) < 2:
        raise ValueError(f"jensen_shannon compares two distributions or more, got {len(probs)}")
    for other in probs[1:]:
        require_pair(probs[0], other, "the first")
    require_shape(probs[0], ..., None, name="the first", hint="the classes are the last axis")
    keep = require_mask(where, jnp.shape(probs[0])[:-1])
    parts = keep_only(keep, *promote(*probs))
    log_mean = _log(sum(parts[1:], parts[0]) / len(parts))
    return sum((kl_divergence(log_mean, p) for p in parts), jnp.zeros_like(log_mean[..., 0])) / len(parts)


def _log(x: jax.Array) -> jax.Array:
    """log x, 0 with gradient 0 where x is 0: there every distribution is 0, and its terms are."""
    return jnp.log(jnp.where(x == 0, 1, x))
