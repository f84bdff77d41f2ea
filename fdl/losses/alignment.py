"""Losses of sequences whose alignment with their labels is unknown."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import ShapeError, require_float, require_integer, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote
from fdl.losses.reduction import log_sum


def ctc(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    logit_lengths: ArrayLike | None = None,
    label_lengths: ArrayLike | None = None,
    blank: int = 0,
    zero_infinity: bool = False,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Connectionist temporal classification: -log of the probability of all paths that read as the labels, in nats.

    (..., time, classes), int (..., length) -> (...)

    A path names a class at each time; it reads as itself without repetitions, then without the class blank.  What lies
    beyond the lengths, int (...), is padding and may be anything.  Labels that fit no path (a time for each label, and
    one between equal neighbours) make the loss inf, or 0 with zero_infinity; the gradient is 0 either way.  A label
    that is blank or no class, or a length outside the array, makes it NaN.
    Graves et al. 2006, Connectionist Temporal Classification.
    """
    _require_sequences(logits, labels)
    *batch, time, classes = jnp.shape(logits)
    if not 0 <= blank < classes:
        raise ValueError(f"blank must be one of the {classes} classes, got {blank}")
    keep = require_mask(where, tuple(batch))
    steps = _lengths(logit_lengths, batch, time, "logit_lengths")
    count = _lengths(label_lengths, batch, jnp.shape(labels)[-1], "label_lengths")
    logits, labels, steps, count = keep_only(keep, *promote(logits), jnp.asarray(labels).astype(int), steps, count)
    of_one: Any = partial(_of_one, blank=blank)
    for _ in batch:
        of_one = jax.vmap(of_one)
    loss = of_one(logits, labels, steps, count)
    return masked(keep, jnp.where(jnp.isposinf(loss), 0, loss) if zero_infinity else loss)


def _require_sequences(logits: ArrayLike, labels: ArrayLike) -> None:
    require_float(logits, "logits", "logits are the model's output before the softmax")
    require_shape(logits, ..., None, None, name="logits", hint="they are (batch, time, classes)")
    require_integer(labels, "labels", "they are class numbers, padded to one length")
    require_shape(labels, *jnp.shape(logits)[:-2], None, name="labels", hint="one row for each sequence of logits")
    if jnp.shape(logits)[-1] < 2:
        raise ShapeError(f"logits must have 2 classes or more, the blank among them, got shape {jnp.shape(logits)}")


def _lengths(given: ArrayLike | None, batch: list[int], most: int, name: str) -> jax.Array:
    if given is None:
        return jnp.full(batch, most)
    require_integer(given, name)
    require_shape(given, *batch, name=name, hint="one for each sequence")
    return jnp.asarray(given).astype(int)


def _of_one(logits: jax.Array, labels: jax.Array, steps: jax.Array, count: jax.Array, blank: int) -> jax.Array:
    """The loss of one sequence, NaN where the labels or the lengths are none."""
    (time, classes), (length,) = logits.shape, labels.shape
    used = jnp.arange(length) < count
    wrong = jnp.any(used & ((labels < 0) | (labels >= classes) | (labels == blank)))
    wrong = wrong | (steps < 0) | (steps > time) | (count < 0) | (count > length)
    (logits,) = keep_only(jnp.arange(time) < steps, logits)
    loss = _negative_log_probability(logits, jnp.where(used & ~wrong, labels, blank), steps, count, blank)
    return jnp.where(wrong, jnp.nan, loss)


def _negative_log_probability(
    logits: jax.Array, labels: jax.Array, steps: jax.Array, count: jax.Array, blank: int
) -> jax.Array:
    """Sums over paths through the states blank, label, blank, ..., blank: each time stays, steps or skips a blank."""
    states = 2 * labels.shape[0] + 1
    number = jnp.arange(states)
    symbol = jnp.full(states, blank, labels.dtype).at[1::2].set(labels)
    emitted = jnp.take(jax.nn.log_softmax(logits), symbol, axis=-1, mode="clip")
    skips = (number % 2 == 1) & (symbol != jnp.roll(symbol, 2))

    def advance(log_alpha, now):
        time, log_prob = now
        one, two = (jnp.pad(log_alpha, (k, 0), constant_values=-jnp.inf)[:states] for k in (1, 2))
        ways = jnp.stack([log_alpha, one, jnp.where(skips, two, -jnp.inf)])
        return jnp.where(time < steps, log_sum(ways, axis=0) + log_prob, log_alpha), None

    before = jnp.where(number == 0, 0, -jnp.inf).astype(logits.dtype)  # from here only the first two are reached
    log_alpha, _ = jax.lax.scan(advance, before, (jnp.arange(logits.shape[0]), emitted))
    last = (number == 2 * count) | (number == 2 * count - 1)
    return -log_sum(jnp.where(last, log_alpha, -jnp.inf))
