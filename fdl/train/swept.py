"""Many runs at once: seeds and hyper-parameters along an axis of the state, one program for all."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as Spec

from fdl.checks import ShapeError
from fdl.compile import on_cpu
from fdl.optim import Transform, set_hyper
from fdl.train.state import TrainState, first_state
from fdl.train.step import Step
from fdl.tree import Tree

RUNS, WHOLE = Spec("runs"), Spec()


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


def swept(step: Step, *, exact: bool = False, copies: bool = False, devices: Sequence[Any] = ()) -> Step:
    """The step of all runs of a sweep at once, all on the same batch; every metric has an axis of runs, (runs,).

    `run` takes it like any other step.  A run that diverges does not stop the others: its loss is NaN from there on.
    The products of all runs with one batch are one product, the fastest form, which adds up in another order than that
    of one run.  With copies each has a batch of its own on a CPU: runs of dense layers have the bits of each by itself,
    in up to twice the time.  With exact the runs take turns inside the program: slower, and no bit depends on the
    others, whatever they compute.  With several devices each takes an equal part of the runs, and they have nothing to
    tell each other.
    """

    def each(count, runs, batch):
        def one(own, batch):
            after, metrics = step.pure(own._replace(step=count), batch)
            return after._replace(step=None), (after.step, metrics)

        after, (steps, metrics) = along_runs(one, runs, batch, exact=exact, copies=copies)
        return after, steps[0], metrics

    split = over_devices(each, devices, (WHOLE, RUNS, WHOLE), (RUNS, WHOLE, RUNS))

    def all_of_them(state, batch):
        after, steps, metrics = split(state.step, state._replace(step=None), batch)
        return after._replace(step=steps), metrics

    return Step(all_of_them)


def along_runs(f: Callable, runs: Tree, same: Tree, *, exact: bool = False, copies: bool = False) -> Any:
    """f(run, same) of every run: exact in turn, else at once; with copies, on a CPU, of what is the same."""
    barrier = jax.lax.optimization_barrier
    if exact:
        return jax.lax.map(lambda run: f(barrier(run), same), runs)  # a run is read before anything is made of it
    if not (copies and on_cpu()):
        return jax.vmap(f, (0, None))(runs, same)
    count = len(jax.tree.leaves(runs)[0])
    own = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), same)
    return jax.vmap(f)(runs, barrier(own))  # the compiler must not see that they are equal


def over_devices(f: Callable, devices: Sequence[Any], given: Any, made: Any) -> Callable:
    """f with its axis of runs split over the devices, where given and made say which trees have one."""
    if len(devices) < 2:
        return f
    return jax.shard_map(f, mesh=mesh_of(devices), in_specs=given, out_specs=made, check_vma=False)


def mesh_of(devices: Sequence[Any]) -> Mesh:
    """The devices side by side, each for other runs."""
    return jax.make_mesh((len(devices),), ("runs",), axis_types=(AxisType.Auto,), devices=devices)


def run_of(state: Any, index: int) -> Any:
    """The state of one run of a sweep, to be evaluated, saved or trained on by itself."""
    return jax.tree.map(lambda leaf: leaf[index], state._replace(step=None))._replace(step=state.step)
