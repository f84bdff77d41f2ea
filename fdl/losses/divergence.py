"""How far one distribution is from another."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask
from fdl.losses.inputs import require_pair, widen


def kl_divergence(log_probs: ArrayLike, target: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """KL(target ‖ model) = Σ target (log target - log_probs) over the last axis, in nats.

    (..., classes), (..., classes) -> (...)

    log_probs are the model's log-probabilities, as `log_softmax(logits)` gives them; target are probabilities.  Neither
    is normalised here.  A class of target probability 0 counts 0, also where log_probs is -inf, and a negative target
    gives NaN.  For KL(model ‖ target) pass log(target) and the model's probabilities.
    """
    require_pair(log_probs, target, "log_probs")
    log_probs, target = widen(log_probs, target)
    keep = require_mask(where, log_probs.shape[:-1])
    if keep is not None:
        log_probs, target = (jnp.where(keep[..., None], x, 0) for x in (log_probs, target))
    zero = target == 0
    log_target = jnp.log(jnp.where(zero, 1, target))
    log_probs = jnp.where(zero & jnp.isneginf(log_probs), 0, log_probs)
    return jnp.sum(target * (log_target - log_probs), axis=-1)
