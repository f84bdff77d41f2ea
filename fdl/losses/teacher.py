"""A student learns the soft answers of a teacher."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask, require_shape
from fdl.losses.divergence import kl_divergence
from fdl.losses.inputs import keep_only, promote, require_pair


def distillation(
    logits: ArrayLike, teacher: ArrayLike, *, temperature: float = 1.0, where: ArrayLike | None = None
) -> jax.Array:
    """T² KL(softmax(teacher / T) ‖ softmax(logits / T)) over the last axis, in nats, for the temperature T.

    (..., classes), (..., classes) -> (...)

    teacher are logits too.  The derivative is T (q - p), that of T² times the cross entropy with soft targets p.  The
    factor T² keeps its size as T grows: for logits v of the teacher and z of the student, each of mean 0 over N
    classes, it tends to (z - v) / N.  Gradients reach the teacher as well; put `jax.lax.stop_gradient` around it if
    its parameters are among those differentiated.  https://arxiv.org/abs/1503.02531
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; 1 to 20 are common")
    require_pair(logits, teacher, "logits")
    keep = require_mask(where, jnp.shape(logits)[:-1])
    logits, teacher = keep_only(keep, *promote(logits, teacher))
    log_probs = jax.nn.log_softmax(logits / temperature)
    target = jnp.exp(jax.nn.log_softmax(teacher / temperature))
    return temperature**2 * kl_divergence(log_probs, target, where=keep)


def feature_distillation(features: ArrayLike, teacher: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """½ |features - teacher|² over the last axis, the hint of a hidden layer.  (..., dim), (..., dim) -> (...)

    Where the widths differ, map the student's features to the teacher's by a layer that is trained along.  Gradients
    reach the teacher as well, as for `distillation`.  https://arxiv.org/abs/1412.6550
    """
    require_pair(features, teacher, "features")
    require_shape(features, ..., None, name="features")
    keep = require_mask(where, jnp.shape(features)[:-1])
    features, teacher = keep_only(keep, *promote(features, teacher))
    return jnp.sum(jnp.square(features - teacher), axis=-1) / 2
