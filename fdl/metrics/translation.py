"""Metrics of generated sentences, from token numbers."""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import require_integer, require_shape
from fdl.metrics.sums import Metric, kept_of, metric

ORDERS = 4


class Matches(NamedTuple):
    """Per length of n-gram those found in a reference and all; tokens of the hypotheses and of the references."""

    found: Any
    total: Any
    length: Any
    reference: Any


@metric
def bleu(*, smoothing: Literal["exp", "none"] = "exp") -> Any:
    """Corpus BLEU in [0, 100] of update(sums, hypotheses, references), over n-grams up to 4; `where` is (batch,).

    int (batch, time), int (batch, references, other time).  Token numbers below 0 are padding and stand at the end.
    Where an example has fewer references than others, repeat one: that changes nothing.  As sacrebleu has it: the
    length of the closest reference counts, the shorter of two equally close; "exp" halves the share of an n-gram length
    without matches again and again; no match at all, or no sentence as long as an n-gram, is 0.  The tokens are yours,
    so name the tokenizer beside the number.  Work and memory grow with time * other time.
    https://aclanthology.org/P02-1040, https://arxiv.org/abs/1804.08771
    """
    if smoothing not in ("exp", "none"):
        raise ValueError(f"smoothing must be 'exp' or 'none', got {smoothing!r}")

    def init():
        return Matches(jnp.zeros(ORDERS, int), jnp.zeros(ORDERS, int), jnp.zeros((), int), jnp.zeros((), int))

    def update(sums, hypotheses, references, *, where=None):
        require_integer(hypotheses, "hypotheses", "they are token numbers, below 0 for padding")
        require_integer(references, "references", "they are token numbers, below 0 for padding")
        require_shape(hypotheses, None, None, name="hypotheses", hint="(batch, time)")
        require_shape(references, jnp.shape(hypotheses)[0], None, None, name="references", hint="a list for each")
        kept = kept_of(where, jnp.shape(hypotheses)[:1])
        each = jax.vmap(_matches)(jnp.asarray(hypotheses), jnp.asarray(references))
        total = lambda x: jnp.sum(jnp.where(kept.reshape(-1, *(1,) * (x.ndim - 1)), x, 0), axis=0)
        return jax.tree.map(lambda a, b: a + total(b).astype(a.dtype), sums, each)

    return Metric(init, update, lambda sums: _score(sums, smoothing))


def _matches(hypothesis: jax.Array, references: jax.Array) -> Matches:
    """Of one hypothesis, (time,), and its references, (references, other time)."""
    length, lengths = (jnp.sum(x >= 0, axis=-1) for x in (hypothesis, references))
    off = jnp.abs(lengths - length)
    closest = jnp.min(jnp.where(off == jnp.min(off), lengths, jnp.iinfo(lengths.dtype).max))
    own = _equal(hypothesis, hypothesis)
    theirs = jax.vmap(_equal, (None, 0))(hypothesis, references)
    found, total = [], []
    for n in range(1, ORDERS + 1):
        # Of an n-gram, as many occurrences match as the reference with most of it has.
        earlier = jnp.sum(jnp.tril(_grams(own, n), -1), axis=-1)
        most = jnp.max(jnp.sum(_grams(theirs, n), axis=-1), axis=0)
        found.append(jnp.sum(earlier < most))
        total.append(jnp.maximum(length - n + 1, 0))
    return Matches(jnp.stack(found), jnp.stack(total), length, closest)


def _equal(a: jax.Array, b: jax.Array) -> jax.Array:
    """Whether token i of a is token j of b, padding never.  (n,), (m,) -> bool (n, m)"""
    return (a[:, None] == b[None, :]) & (a >= 0)[:, None]


def _grams(equal: jax.Array, n: int) -> jax.Array:
    """Whether the n tokens from i on are those from j on, for all i, j that have n."""
    rows, columns = (max(size - n + 1, 0) for size in equal.shape[-2:])
    windows = [equal[..., k : k + rows, k : k + columns] for k in range(n)]
    return jnp.all(jnp.stack(windows), axis=0)


def _score(sums: Matches, smoothing: str) -> Any:
    module = jnp if any(isinstance(x, jax.Array) for x in sums) else np
    found, total, length, reference = (module.asarray(x).astype(float) for x in sums)
    missing = (found == 0) & (total > 0)
    halvings = module.cumsum(missing.astype(float)) if smoothing == "exp" else math.inf
    share = module.where(missing, 2.0**-halvings, found) / module.where(total > 0, total, 1.0)
    some = module.any(found > 0) & module.all(share > 0)
    brevity = module.minimum(1 - reference / module.where(length > 0, length, 1.0), 0.0)
    logs = module.log(module.where(share > 0, share, 1.0))
    return module.where(some, 100 * module.exp(brevity + module.mean(logs)), 0.0)
