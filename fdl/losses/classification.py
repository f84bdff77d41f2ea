"""Losses for classes, from logits: fused with the softmax or sigmoid, so that no probability of 0 meets a logarithm."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, ShapeError, describe, require_float, require_integer, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair
from fdl.nn.activations.softplus import softplus


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    smoothing: float = 0.0,
    ignore_index: int | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """-Σ t log softmax(logits) over the last axis, in nats; its derivative is softmax(logits) - t.

    (..., classes), int (...) or float (..., classes) -> (...)

    Integer labels are class numbers, and t their one-hot form; float labels are the probabilities t themselves.
    smoothing replaces t by (1 - smoothing) t + smoothing / classes (https://arxiv.org/abs/1512.00567).  Examples with
    the label ignore_index, and those where `where` is false, are 0.  Any other label outside 0 ... classes - 1 makes
    its loss NaN; look for that in the loss, for the gradient stays finite.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must lie in [0, 1], got {smoothing}")
    loss = _from_numbers if _require_numbers(logits, labels) else _from_probabilities
    keep = require_mask(where, jnp.shape(logits)[:-1])
    logits, labels = promote(logits)[0], _at_least_32_bits(labels)
    if ignore_index is not None:
        require_integer(labels, "labels", "ignore_index needs class numbers; use where= with probabilities")
        counted = labels != ignore_index
        keep = counted if keep is None else keep & counted
    if keep is None:
        return loss(logits, labels, smoothing)
    # Harmless inputs where the loss is left out: NaN there must reach neither the value nor the gradient.
    logits = jnp.where(keep[..., None], logits, 0)
    labels = jnp.where(keep if labels.ndim == keep.ndim else keep[..., None], labels, 0)
    return jnp.where(keep, loss(logits, labels, smoothing), 0)


def binary_cross_entropy(logits: ArrayLike, targets: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(logits), in nats; its derivative is p - t.

    (shape), float (shape) -> (shape)

    Elementwise: for several labels of one example, sum or mean over them.  targets are probabilities in [0, 1].
    """
    require_pair(logits, targets, "logits")
    keep = require_mask(where, jnp.shape(logits))
    logits, targets = promote(logits, targets)
    if keep is not None:
        logits, targets = jnp.where(keep, logits, 0), jnp.where(keep, targets, 0)
    # Two terms, neither of which cancels: both tails keep their digits, and so do second derivatives at 0.
    loss = targets * softplus(-logits) + (1 - targets) * softplus(logits)
    return masked(keep, loss)


def negative_log_likelihood(log_probs: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """-log_probs[label] of each example, in nats.  (..., classes), int (...) -> (...)

    For a model that ends in `log_softmax` or mixes distributions; from logits use `cross_entropy`.  log_probs are not
    normalised here.  A label outside 0 ... classes - 1 makes its loss NaN.
    """
    log_probs, labels, keep = require_numbers(log_probs, labels, where, "log_probs")
    loss = -pick(log_probs, labels)
    return masked(keep, loss)


def require_numbers(
    scores: ArrayLike, labels: ArrayLike, where: ArrayLike | None, name: str
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Scores widened and class numbers, both 0 where masked, and the mask; raises unless (..., classes) and (...)."""
    require_float(scores, name)
    require_shape(scores, ..., None, name=name)
    require_integer(labels, "labels", "class numbers are integers: labels.astype('int32'), or argmax(-1) of one-hot")
    require_shape(labels, *jnp.shape(scores)[:-1], name="labels", hint=f"that of {name} without the classes")
    keep = require_mask(where, jnp.shape(labels))
    scores, labels = keep_only(keep, promote(scores)[0], _at_least_32_bits(labels))
    return scores, labels, keep


def _from_numbers(logits: jax.Array, labels: jax.Array, smoothing: float) -> jax.Array:
    # Relative to the largest logit, so that a common offset of all logits costs no digits.
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1))
    log_sum = jnp.log(jnp.sum(jnp.exp(logits - top[..., None]), axis=-1))
    chosen = pick(logits, labels) - top
    if smoothing == 0:
        return log_sum - chosen
    return log_sum - (1 - smoothing) * chosen - smoothing * jnp.mean(logits - top[..., None], axis=-1)


def _from_probabilities(logits: jax.Array, probs: jax.Array, smoothing: float) -> jax.Array:
    logits, probs = promote(logits, probs)
    probs = (1 - smoothing) * probs + smoothing / probs.shape[-1]
    log_probs = jax.nn.log_softmax(logits)
    # 0 log 0 = 0
    log_probs = jnp.where((probs == 0) & jnp.isneginf(log_probs), 0, log_probs)
    return -jnp.sum(probs * log_probs, axis=-1)


@jax.custom_jvp
def pick(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """logits[..., labels], NaN where there is no such class."""
    pick = lambda row, label: row.at[label].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
    for _ in labels.shape:
        pick = jax.vmap(pick)
    return pick(logits, labels)


@pick.defjvp
def _pick_jvp(primals, tangents):
    # A gather's gradient is an array of zeros to scatter into; by comparison it is melted into what it is added to.
    (logits, labels), (moved, _) = primals, tangents
    classes = jax.lax.broadcasted_iota(labels.dtype, logits.shape, logits.ndim - 1)
    return pick(logits, labels), jnp.sum(jnp.where(classes == labels[..., None], moved, 0), -1)


def _at_least_32_bits(labels: ArrayLike) -> jax.Array:
    """Labels as they are, but in no type too narrow for the number of classes, where bounds checks wrap around."""
    labels = jnp.asarray(labels)
    return labels.astype(jnp.int32) if labels.dtype in (jnp.int8, jnp.uint8, jnp.int16, jnp.uint16) else labels


def _require_numbers(logits: ArrayLike, labels: ArrayLike) -> bool:
    """Whether labels are class numbers (True) or probabilities (False); raises where they fit neither."""
    require_float(logits, "logits", "logits are the model's output before the softmax")
    require_shape(logits, ..., None, name="logits")
    *batch, classes = jnp.shape(logits)
    if classes < 2:
        raise ShapeError(
            f"logits must have shape (..., classes) with 2 classes or more, got {jnp.shape(logits)}; the softmax of "
            "one logit is always 1, use binary_cross_entropy for two classes with one logit"
        )
    if jnp.shape(labels) == jnp.shape(logits):
        hint = "pass class numbers, labels.argmax(-1), or cast one-hot rows, labels.astype('float32')"
        require_float(labels, "labels of the shape of logits", hint)
        return False
    if jnp.issubdtype(jnp.result_type(labels), jnp.integer) or jnp.shape(labels) == tuple(batch):
        require_integer(labels, "labels", "class numbers are integers, e.g. labels.astype('int32')")
    elif not jnp.issubdtype(jnp.result_type(labels), jnp.inexact):
        raise DtypeError(f"labels must be integers or floating point, got {describe(labels)}; cast them")
    drop = jnp.shape(labels) == (*batch, 1)
    hint = "drop the last axis: labels[..., 0]" if drop else f"or that of logits, {jnp.shape(logits)}, as probabilities"
    require_shape(labels, *batch, name="labels", hint=hint)
    return True
