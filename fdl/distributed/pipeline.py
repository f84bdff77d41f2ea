"""A model too deep for one device: its stages lie on the devices of an axis, and parts of a batch follow each other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def pipeline(stage: Callable[[jax.Array], jax.Array], x: jax.Array, *, axis: str) -> jax.Array:
    """x through the stages of all devices of the axis, one after the other; call it inside `jax.shard_map`.

    (microbatches, shape) -> same, the whole on every device of the axis.  stage(h) is the device's own piece of the
    model, (shape) -> same: for a `nn.repeat` split over its leading axis a scan over the repetitions it holds.
    Of microbatches + devices - 1 turns each device idles through devices - 1, so have several times as many
    microbatches as devices.  Noise and state have no place here.  The gradient runs the turns backwards (GPipe,
    https://arxiv.org/abs/1811.06965); put `jax.checkpoint` around the stage to keep its inputs alone.
    """
    size, place, count = lax.axis_size(axis), lax.axis_index(axis), x.shape[0]
    onward = [(i, i + 1) for i in range(size - 1)]

    def given(turn):
        """Device `place` works on microbatch turn - place; until one arrives on the first, so on nothing undefined."""
        return lax.dynamic_index_in_dim(x, jnp.clip(turn - place, 0, count - 1), 0, keepdims=False)

    def take(h, turn):
        y = stage(h)
        return jnp.where(place == 0, given(turn + 1), lax.ppermute(y, axis, onward)), y

    _, y = lax.scan(take, given(jnp.int32(0)), jnp.arange(count + size - 1, dtype=jnp.int32))
    return lax.psum(jnp.where(place == size - 1, y[size - 1 :], 0), axis)
