"""The last layer and its loss in one, for vocabularies whose logits do not fit in memory."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_integer, require_mask, require_shape
from fdl.losses.classification import cross_entropy
from fdl.losses.inputs import keep_only, masked, promote


def fused_linear_cross_entropy(
    h: ArrayLike,
    kernel: ArrayLike,
    labels: ArrayLike,
    *,
    bias: ArrayLike | None = None,
    chunk: int = 512,
    smoothing: float = 0.0,
    softcap: float | None = None,
    where: ArrayLike | None = None,
) -> jax.Array:
    """cross_entropy(h @ kernel + bias, labels), with the logits of `chunk` tokens in memory at a time.

    (..., dim), (dim, vocab), int (...) -> (...)

    The gradient computes the logits of each chunk again: a third more arithmetic, and no array of tokens by vocab.
    softcap bounds the logits z to softcap tanh(z / softcap) (https://arxiv.org/abs/2408.00118).  16-bit h and kernel
    are multiplied as they are and summed in float32.  A label outside 0 ... vocab - 1 makes its loss NaN.
    """
    if not isinstance(chunk, int) or chunk < 1:
        raise ValueError(f"chunk must be a whole number of at least 1, got {chunk}")
    if softcap is not None and not softcap > 0:
        raise ValueError(f"softcap must be positive, got {softcap}; None leaves the logits as they are")
    h, kernel, labels, bias = _checked(h, kernel, labels, bias)
    keep = require_mask(where, labels.shape)
    h, labels = keep_only(keep, h, labels)
    wide = jnp.float32 if h.dtype.itemsize < 4 else h.dtype

    @jax.checkpoint
    def loss_of(tokens):
        x, label = tokens
        logits = jnp.matmul(x, kernel, preferred_element_type=wide)
        logits = logits if bias is None else logits + bias.astype(wide)[None]
        logits = logits if softcap is None else softcap * jnp.tanh(logits / softcap)
        return cross_entropy(logits, label, smoothing=smoothing)

    return masked(keep, _by_chunks(loss_of, h, labels, chunk))


def _by_chunks(loss_of, h: jax.Array, labels: jax.Array, chunk: int) -> jax.Array:
    """loss_of all tokens, `chunk` of them at a time; the last chunk is filled up with zeros."""
    count = labels.size
    chunk = max(1, min(chunk, count))
    fill = -count % chunk
    h = jnp.pad(h.reshape(count, h.shape[-1]), ((0, fill), (0, 0)))
    numbers = jnp.pad(labels.reshape(count), (0, fill))
    losses = jax.lax.map(loss_of, (h.reshape(-1, chunk, h.shape[-1]), numbers.reshape(-1, chunk)))
    return losses.reshape(-1)[:count].reshape(labels.shape)


def _checked(h, kernel, labels, bias):
    require_float(h, "h")
    require_float(kernel, "kernel")
    require_shape(h, ..., None, name="h")
    require_shape(kernel, jnp.shape(h)[-1], None, name="kernel", hint="(dim, vocab); transpose a table of embeddings")
    require_integer(labels, "labels", "class numbers are integers, e.g. labels.astype('int32')")
    require_shape(labels, *jnp.shape(h)[:-1], name="labels", hint="one for each row of h")
    if bias is not None:
        require_float(bias, "bias")
        require_shape(bias, jnp.shape(kernel)[1], name="bias")
        bias = jnp.asarray(bias)
    h, kernel = jnp.asarray(h), jnp.asarray(kernel)
    h, kernel = (h, kernel) if h.dtype == kernel.dtype else promote(h, kernel)
    return h, kernel, jnp.asarray(labels), bias
