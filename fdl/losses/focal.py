"""Cross entropies that look away from what is already right (https://arxiv.org/abs/1708.02002)."""

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_mask
from fdl.losses.classification import pick, require_numbers
from fdl.losses.inputs import keep_only, masked, promote, require_pair
from fdl.nn.activations.softplus import softplus


def focal_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, *, gamma: float = 2.0, where: ArrayLike | None = None
) -> jax.Array:
    """-(1 - p)^gamma log p for p = softmax(logits)[label], in nats.  (..., classes), int (...) -> (...)

    gamma 0 is the cross entropy.  A label outside 0 ... classes - 1 makes its loss NaN.
    """
    _require_gamma(gamma)
    logits, labels, keep = require_numbers(logits, labels, where, "logits")
    log_probs = jax.nn.log_softmax(logits)
    chosen = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
    # 1 - p as the sum of the others: near p = 1 it keeps its digits.
    rest = jnp.sum(jnp.where(chosen, 0, jnp.exp(log_probs)), axis=-1)
    some = rest > 0
    weight = jnp.where(some, jnp.where(some, rest, 1) ** gamma, float(gamma == 0))
    loss = -weight * pick(log_probs, labels)
    return masked(keep, loss)


def binary_focal_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """-t (1 - p)^gamma log p - (1 - t) p^gamma log(1 - p) with p = sigmoid(logits), in nats.

    (shape), float (shape) -> (shape)

    gamma 0 is `binary_cross_entropy`.  alpha weights the first term by alpha and the second by 1 - alpha; the paper
    has 0.25.
    """
    _require_gamma(gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}; None leaves both targets at weight 1")
    require_pair(logits, targets, "logits")
    keep = require_mask(where, jnp.shape(logits))
    logits, targets = keep_only(keep, *promote(logits, targets))
    # -log p and -log(1 - p); the powers are taken of their exponentials, so that no base of 0 is differentiated
    yes, no = softplus(-logits), softplus(logits)
    one, other = (1, 1) if alpha is None else (alpha, 1 - alpha)
    loss = one * targets * jnp.exp(-gamma * no) * yes + other * (1 - targets) * jnp.exp(-gamma * yes) * no
    return masked(keep, loss)


def asymmetric_binary_cross_entropy(
    logits: ArrayLike,
    targets: ArrayLike,
    *,
    positive: float = 0.0,
    negative: float = 4.0,
    shift: float = 0.05,
    where: ArrayLike | None = None,
) -> jax.Array:
    """-t (1 - p)^positive log p - (1 - t) q^negative log(1 - q) with p = sigmoid(logits), q = max(0, p - shift).

    (shape), float (shape) -> (shape)

    For many labels of which few apply: easy negatives, with p below shift, cost nothing at all.
    https://arxiv.org/abs/2009.14119
    """
    _require_gamma(positive, "positive")
    _require_gamma(negative, "negative")
    if not 0 <= shift < 1:
        raise ValueError(f"shift must lie in [0, 1), got {shift}; the paper has 0.05")
    require_pair(logits, targets, "logits")
    keep = require_mask(where, jnp.shape(logits))
    logits, targets = keep_only(keep, *promote(logits, targets))
    yes, no = softplus(-logits), softplus(logits)
    if shift:
        rest = jax.nn.relu(jax.nn.sigmoid(logits) - shift)
        hard = rest > 0
        weight = jnp.where(hard, jnp.where(hard, rest, 1) ** negative, 0)
        away = -weight * jnp.log1p(-rest)
    else:
        away = jnp.exp(-negative * yes) * no
    return masked(keep, targets * jnp.exp(-positive * no) * yes + (1 - targets) * away)


def _require_gamma(gamma: float, name: str = "gamma") -> None:
    if not (math.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"{name} must be 0 or more and finite, got {gamma}; 0 weighs all alike")
