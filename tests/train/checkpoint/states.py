"""The states that the tests of checkpoints save."""

from functools import cache

import jax
import jax.numpy as jnp

from fdl import nn, optim, train

MODEL = nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dense(4, 2))


@cache
def first(model, optimizer):
    return train.init_state(model.init, optimizer, seed=0)


def make(step=7, model=MODEL, optimizer=None):
    state = first(model, optimizer or optim.adam(1e-3))
    return state._replace(step=jnp.asarray(step, jnp.int32), params=jax.tree.map(lambda p: p + step, state.params))


def kept():
    """The state in tests/data/checkpoints."""
    sizes = iter(range(1000))
    fill = lambda leaf: (jnp.arange(leaf.size) + 7 * next(sizes)).reshape(leaf.shape).astype(leaf.dtype)
    state = make()
    return state._replace(
        key=jax.random.key(5),
        params=jax.tree.map(fill, state.params),
        state={"half": jnp.arange(3).astype(jnp.bfloat16), "empty": jnp.zeros((0, 2))},
        opt_state=jax.tree.map(fill, state.opt_state),
    )
