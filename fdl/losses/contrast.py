"""Losses that tell examples apart by cosines: from the others of the batch, or from the directions of classes."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_shape
from fdl.losses.classification import cross_entropy, require_numbers
from fdl.losses.embedding import vectors
from fdl.losses.inputs import promote
from fdl.losses.reduction import log_sum
from fdl.nn.activations.axiswise import unit
from fdl.nn.activations.softplus import softplus


def nt_xent(
    first: ArrayLike, second: ArrayLike, *, temperature: float = 0.5, where: ArrayLike | None = None
) -> jax.Array:
    """Cross entropy of finding each view's partner among the other 2 batch - 1 views by cosine / temperature, in nats.

    (batch, dim), (batch, dim) -> (batch,)

    first[i] and second[i] are two views of example i, and value i is the mean of both.  Examples left out by `where`
    are nobody's negatives either.  The value of one example depends on its batch.  https://arxiv.org/abs/2002.05709
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; the paper's are 0.1 to 1")
    first, second, keep = _rows(first, second, where)
    batch = first.shape[0]
    views = unit(jnp.concatenate([first, second]))
    keep = jnp.ones(batch, bool) if keep is None else keep
    kept = jnp.concatenate([keep, keep])
    logits = jnp.matmul(views, views.T, precision="highest") / temperature
    logits = jnp.where(kept[None, :] & ~jnp.eye(2 * batch, dtype=bool), logits, -jnp.inf)
    partner = jnp.roll(jnp.arange(2 * batch), batch)
    # one pair alone has only its partner to choose
    return jnp.mean(cross_entropy(logits, partner, where=kept).reshape(2, batch), axis=0)


def info_nce(
    queries: ArrayLike,
    keys: ArrayLike,
    *,
    temperature: ArrayLike = 0.07,
    symmetric: bool = False,
    where: ArrayLike | None = None,
) -> jax.Array:
    """Cross entropy of finding keys[i] among all keys of the batch for queries[i], by cosine / temperature, in nats.

    (batch, dim), (batch, dim) -> (batch,)

    symmetric takes the mean with that of finding queries[i] for keys[i] (https://arxiv.org/abs/2103.00020).  The
    temperature may be a parameter, the exponential of one that is free.  Examples left out by `where` are nobody's
    negatives.  The value of one example depends on its batch.  https://arxiv.org/abs/1807.03748
    """
    if isinstance(temperature, int | float) and not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}; the papers have 0.01 to 0.1")
    queries, keys, keep = _rows(queries, keys, where)
    cosine = jnp.matmul(unit(queries), unit(keys).T, precision="highest")
    logits = cosine / jnp.asarray(temperature).astype(cosine.dtype)
    own = jnp.arange(len(logits))
    find = lambda scores: cross_entropy(
        scores if keep is None else jnp.where(keep[None, :], scores, -jnp.inf), own, where=keep
    )
    return (find(logits) + find(logits.T)) / 2 if symmetric else find(logits)


def circle(
    x: ArrayLike, labels: ArrayLike, *, margin: float = 0.25, scale: float = 256.0, where: ArrayLike | None = None
) -> jax.Array:
    """log(1 + Σ exp(scale a (s - margin)) Σ exp(-scale b (r - 1 + margin))) for each example, by its cosines.

    (batch, dim), int (batch,) -> (batch,)

    s are the cosines with examples of other labels and r those with others of the same label; the weights
    a = max(0, s + margin) and b = max(0, 1 + margin - r) pass no gradient.  An example without one of either kind has
    the loss 0.  Examples left out by `where` are nobody's partners.  https://arxiv.org/abs/2002.10857
    """
    require_shape(x, None, None, name="x", hint="one row per example")
    x, labels, keep = require_numbers(x, labels, where, "x")
    cosine = jnp.matmul(unit(x), unit(x).T, precision="highest")
    there = jnp.ones(cosine.shape, bool) if keep is None else keep[:, None] & keep[None, :]
    alike = labels[:, None] == labels[None, :]
    same, other = there & alike & ~jnp.eye(len(x), dtype=bool), there & ~alike
    weigh = lambda slack: jax.lax.stop_gradient(jax.nn.relu(slack))
    far = log_sum(jnp.where(other, scale * weigh(cosine + margin) * (cosine - margin), -jnp.inf))
    near = log_sum(jnp.where(same, -scale * weigh(1 + margin - cosine) * (cosine - 1 + margin), -jnp.inf))
    both = ~jnp.isneginf(far + near)
    return jnp.where(both, softplus(jnp.where(both, far + near, 0)), 0)


def large_margin_cosine(
    x: ArrayLike,
    kernel: ArrayLike,
    labels: ArrayLike,
    *,
    margin: float = 0.35,
    scale: float = 64.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """cross_entropy(scale (cos - margin t), labels) of the cosines of x with each class, t one-hot, in nats.

    (..., dim), (dim, classes), int (...) -> (...)

    The columns of kernel are the directions of the classes, of any length.  A label outside 0 ... classes - 1 makes its
    loss NaN.  https://arxiv.org/abs/1801.09414
    """
    require_float(kernel, "kernel")
    require_shape(kernel, jnp.shape(x)[-1] if jnp.ndim(x) else None, None, name="kernel", hint="(dim, classes)")
    x, labels, keep = require_numbers(x, labels, where, "x")
    x, kernel = promote(x, kernel)
    cosine = jnp.matmul(unit(x), unit(kernel, 0), precision="highest")
    right = jax.nn.one_hot(labels, cosine.shape[-1], dtype=cosine.dtype)
    return cross_entropy(scale * (cosine - margin * right), labels, where=keep)


def _rows(x: ArrayLike, y: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    require_shape(x, None, None, name="the first", hint="one row per example")
    return vectors(x, y, where)
