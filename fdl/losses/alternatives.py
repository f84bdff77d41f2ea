"""Other losses of classes from logits: with a tilted start, with a bound, and with zeros among the probabilities."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.losses.classification import pick, require_numbers
from fdl.losses.inputs import masked
from fdl.nn.activations.axiswise import sparsemax as sparse_probabilities


def poly_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, epsilon: float = 2.0, where: ArrayLike | None = None
) -> jax.Array:
    """-log p + epsilon (1 - p) for p = softmax(logits)[label], in nats.  (..., classes), int (...) -> (...)

    epsilon 0 is the cross entropy.  A label outside 0 ... classes - 1 makes its loss NaN.
    https://arxiv.org/abs/2204.12511
    """
    log_prob, keep = _chosen(logits, labels, where)
    return masked(keep, -log_prob - epsilon * jnp.expm1(log_prob))


def generalized_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, q: float = 0.7, where: ArrayLike | None = None
) -> jax.Array:
    """(1 - p^q) / q for p = softmax(logits)[label], at most 1 / q, so that wrong labels weigh little.

    (..., classes), int (...) -> (...)

    q near 0 is the cross entropy, 1 half the absolute error of the probabilities.  A label outside 0 ... classes - 1
    makes its loss NaN.  https://arxiv.org/abs/1805.07836
    """
    if not 0 < q <= 1:
        raise ValueError(f"q must be above 0 and at most 1, got {q}; for 0 use cross_entropy")
    log_prob, keep = _chosen(logits, labels, where)
    return masked(keep, -jnp.expm1(q * log_prob) / q)


def sparsemax(logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """p·logits - ½ |p|² + ½ - logits[label] for p = nn.sparsemax(logits); its derivative is p - t, for one-hot t.

    (..., classes), int (...) -> (...)

    It is 0 once the label's logit is ahead by 1.  A label outside 0 ... classes - 1 makes its loss NaN.
    https://arxiv.org/abs/1602.02068
    """
    logits, labels, keep = require_numbers(logits, labels, where, "logits")
    shifted = logits - jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))  # the result is the same
    probs = sparse_probabilities(shifted)
    loss = jnp.sum(probs * (shifted - probs / 2), axis=-1) + 0.5 - pick(shifted, labels)
    return masked(keep, loss)


def _chosen(logits: ArrayLike, labels: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array | None]:
    """log softmax(logits)[label], and the mask."""
    logits, labels, keep = require_numbers(logits, labels, where, "logits")
    return pick(jax.nn.log_softmax(logits), labels), keep
