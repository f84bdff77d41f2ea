"""Many runs at once: seeds and hyper-parameters along an axis of the state, one program for all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.optim import Transform, set_hyper
from fdl.train.state import TrainState, first_state
from fdl.train.step import Step
from fdl.tree import Tree

APART = TrainState(step=None, key=0, params=0, state=0, opt_state=0)  # type: ignore[arg-type]  the axes of the runs


def init_sweep(
    init: Callable[[jax.Array], tuple[Tree, Tree]],
    optimizer: Transform,
    seeds: Sequence[int],
    **values: Sequence[float] | jax.Array,
) -> TrainState:
    """The states of as many runs as there are seeds, run i at index i of every leaf; they share the count of steps.

    values are hyper-parameters by name, one for each run, of those that `optim.hyper` moved into the optimizer's state.
    Run i starts as `init_state` with its seed.  Raises ShapeError for a wrong number of values, TreeError for a name
    that the state does not hold.
    """
    for name, each in values.items():
        if len(each) != len(seeds):
            raise ShapeError(f"{name} must have a value for each of the {len(seeds)} seeds, got {len(each)}")

    arrays = {name: jnp.asarray(each, float) for name, each in values.items()}
    state = _first_states(init, optimizer.init, jnp.asarray(seeds, jnp.int32), arrays)
    return state._replace(step=jnp.zeros((), jnp.int32))


@partial(jax.jit, static_argnums=(0, 1))
def _first_states(init: Callable, optimizer_init: Callable, seeds: jax.Array, values: dict[str, jax.Array]) -> Any:
    def make(seed, values):
        return set_hyper(first_state(init, optimizer_init, jax.random.key(seed)), **values)

    return jax.vmap(make)(seeds, values)


def swept(step: Step, *, exact: bool = False) -> Step:
    """The step of all runs of a sweep at once, all on the same batch; every metric has an axis of runs, (runs,).

    `run` takes it like any other step.  A run that diverges does not stop the others: its loss is NaN from there on.
    Products of all runs are one product, which adds up in another order than that of a run by itself.  With exact the
    runs are computed in turn inside the program: slower, and with the bits of each by itself.
    """
    if not exact:
        return Step(jax.vmap(step.pure, (APART, None), (APART, 0)))

    def in_turn(state, batch):
        def one(own):
            after, metrics = step.pure(own._replace(step=state.step), batch)
            return after._replace(step=None), (after.step, metrics)

        after, (steps, metrics) = jax.lax.map(one, state._replace(step=None))
        return after._replace(step=steps[0]), metrics

    return Step(in_turn)


def run_of(state: TrainState, index: int) -> TrainState:
    """The state of one run of a sweep, to be evaluated, saved or trained on by itself."""
    return jax.tree.map(lambda leaf: leaf[index], state._replace(step=None))._replace(step=state.step)  # type: ignore[arg-type]
