"""Attention over a sequence too long for one device: keys and values travel around a ring of devices."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fdl.checks import require_shape
from fdl.nn.transformer.arguments import require_heads, require_numbers
from fdl.nn.transformer.attend import largest_by_definition, products, softmax_mean
from fdl.nn.transformer.masks import distances, reachable
from fdl.tree import widen


def ring_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    axis: str,
    causal: bool = False,
    window: int | None = None,
    scale: float | None = None,
) -> jax.Array:
    """`nn.dot_product_attention` of a sequence split over an axis of the mesh; call it inside `jax.shard_map`.

    query (batch, time, heads, head_dim), key (batch, time, kv_heads, head_dim), value (batch, time, kv_heads,
    value_dim) -> (batch, time, heads, value_dim), each the device's own part, all parts of equal length.
    Each device attends to the part it holds and hands it to the next, until each has seen all: it never holds more
    than one part, nor more logits than own queries by keys of one part.  The gradient goes round once more instead of
    keeping them; there are no higher derivatives.  https://arxiv.org/abs/2310.01889
    Raises ShapeError, DtypeError and ValueError as `dot_product_attention` does.
    """
    require_heads(query, key, value)
    require_numbers(window, None, None, None)
    require_shape(key, None, query.shape[1], None, None, name="key", hint="all parts of the sequence are equally long")
    factor: float = query.shape[-1] ** -0.5 if scale is None else scale
    return _ring(query, key, value, _Ring(axis, causal, window, factor))


class _Ring(NamedTuple):
    """What does not change from turn to turn."""

    axis: str
    causal: bool
    window: int | None
    scale: float


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _ring(query: jax.Array, key: jax.Array, value: jax.Array, ring: _Ring) -> jax.Array:
    return _forward(query, key, value, ring)[0]


def _forward(query, key, value, ring):
    def turn(carried, behind):
        passing, seen = carried
        key, value = _hand_on(passing, ring.axis)
        return ((key, value), _joined(seen, _part(query, key, value, behind, ring))), None

    start = (key, value), _part(query, key, value, 0, ring)
    (_, (mean, total)), _ = lax.scan(turn, start, _others(ring.axis))
    return mean.astype(query.dtype), (query, key, value, mean, total)


def _backward(ring, kept, slope):
    query, key, value, mean, total = kept
    slope = slope.astype(mean.dtype)

    def slopes(key, value, behind):
        """What query, key and value of one part contribute, by the derivative of `_joined`."""
        (own, share), pull = jax.vjp(lambda q, k, v: _part(q, k, v, behind, ring), query, key, value)
        weight = jnp.exp(share - total)
        return pull((weight * slope, weight * jnp.sum(slope * (own - mean), -1, keepdims=True)))

    def turn(carried, behind):
        passing, dquery = carried
        key, value, dkey, dvalue = _hand_on(passing, ring.axis)
        dq, dk, dv = slopes(key, value, behind)
        return ((key, value, dkey + widen(dk), dvalue + widen(dv)), dquery + widen(dq)), None

    dq, dk, dv = map(widen, slopes(key, value, 0))
    ((_, _, dk, dv), dq), _ = lax.scan(turn, ((key, value, dk, dv), dq), _others(ring.axis))
    dk, dv = _hand_on((dk, dv), ring.axis)  # home again
    return dq.astype(query.dtype), dk.astype(key.dtype), dv.astype(value.dtype)


_ring.defvjp(_forward, _backward)


def _part(query, key, value, behind, ring):
    """Attention to the part that began `behind` devices before: its means, and the logarithm of what they weigh.

    -> (batch, time, heads, value_dim), (batch, time, heads, 1), in float32 at least
    """
    time, here = query.shape[1], lax.axis_index(ring.axis)
    count = jnp.arange(time, dtype=jnp.int32)
    positions = here * time + count
    key_positions = (here - behind) % lax.axis_size(ring.axis) * time + count
    logits = products(query, key) * jnp.asarray(ring.scale, widen(query).dtype)
    if ring.causal or ring.window is not None:
        near = reachable(distances(positions[None], key_positions), causal=ring.causal, window=ring.window)
        logits = jnp.where(near, logits, -jnp.inf)
    most = lax.stop_gradient(largest_by_definition(logits))
    sums = jnp.sum(jnp.exp(logits - most), -1, keepdims=True)
    nothing = sums == 0
    weight = jnp.where(nothing, -jnp.inf, most + jnp.log(jnp.where(nothing, 1, sums)))
    return softmax_mean(logits, value), weight.swapaxes(1, 2)


def _joined(one, other):
    """Means over two sets of keys as the mean over both."""
    (a, weight), (b, more) = one, other
    total = jnp.logaddexp(weight, more)
    return a * jnp.exp(weight - total) + b * jnp.exp(more - total), total


def _others(axis: str) -> jax.Array:
    return jnp.arange(1, lax.axis_size(axis), dtype=jnp.int32)


def _hand_on(tree: Any, axis: str) -> Any:
    size = lax.axis_size(axis)
    return lax.ppermute(tree, axis, [(i, (i + 1) % size) for i in range(size)])
