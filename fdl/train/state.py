"""All that changes during a run, as one pytree: what a checkpoint is."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim import Transform
from fdl.tree import Tree


class TrainState(NamedTuple):
    """Steps taken, the run's key, trained and carried values, the optimizer's memory."""

    step: jax.Array
    key: jax.Array
    params: Tree
    state: Tree
    opt_state: Tree


def init_state(init: Callable[[jax.Array], tuple[Tree, Tree]], optimizer: Transform, seed: int = 0) -> TrainState:
    """The state before the first step: a pure function of the seed.  `init(key) -> (params, state)`: model.init."""
    return _compiled_first_state(init, optimizer.init, jax.random.key(seed))


def first_state(
    init: Callable[[jax.Array], tuple[Tree, Tree]], optimizer_init: Callable[[Tree], Tree], key: jax.Array
) -> TrainState:
    """The same of a key, inside a transformation."""
    init_key, run_key = jax.random.split(key)
    params, state = init(init_key)
    return TrainState(jnp.zeros((), jnp.int32), run_key, params, state, optimizer_init(params))


# Inside jit every leaf gets a buffer of its own, which donation needs; another seed of the same model compiles nothing.
_compiled_first_state = jax.jit(first_state, static_argnums=(0, 1))
