"""Arrays put where a layout says; the step that trains them is `train.make_train_step`, the same as on one device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import NamedSharding, Sharding
from jax.sharding import PartitionSpec as Spec

from fdl.data import Batches, indices
from fdl.data.examples import require_fits
from fdl.distributed.rules import Layout, batch_shardings, shardings, used_shardings
from fdl.optim import Transform
from fdl.train.state import TrainState, first_state
from fdl.tree import Tree, is_key


def init_state(
    init: Callable[[jax.Array], tuple[Tree, Tree]], optimizer: Transform, layout: Layout, seed: int = 0
) -> TrainState:
    """`train.init_state`, every array made on the devices that hold it: no device or host ever holds the whole."""
    make = lambda key: first_state(init, optimizer.init, key)
    key = jax.random.key(seed)
    return jax.jit(make, out_shardings=shardings(jax.eval_shape(make, key), layout))(key)


def put(tree: Tree, places: Tree) -> Tree:
    """Copies of the arrays with these shardings, from wherever they are: the host, other devices, another mesh.

    One sharding serves a whole tree or branch.  With many processes each must give the same values; it reads only what
    its own devices hold.
    """
    return jax.tree.map(_put, tree, jax.tree.broadcast(places, tree))


def split(batch: Tree, layout: Layout, *, strict: bool = True) -> Tree:
    """The batch split as the layout says, outside a compiled function or inside.

    Raises ShapeError where rows do not divide, or if not strict leaves whole what does not.
    """
    places = batch_shardings(batch, layout, strict=strict)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(batch)):
        return jax.lax.with_sharding_constraint(batch, places)
    return put(batch, places)


def join(rows: Tree, layout: Layout) -> Tree:
    """The batch of which each process has loaded some rows for itself: equally many, in the order of the processes.

    For data that no process can see all of; rows are then a function of (seed, step, `jax.process_index()`).
    """

    def whole(leaf):
        place = NamedSharding(layout.mesh, Spec(*layout.batch[: np.ndim(leaf)]))
        return jax.make_array_from_process_local_data(place, np.asarray(leaf))

    return jax.tree.map(whole, rows)


def split_batches(batches: Batches, layout: Layout) -> Callable[[int], Any]:
    """The function step -> batch of these batches, split over the mesh.

    Which examples a device holds is a function of (seed, step, device), so each process reads the rows of its own
    devices and no others, and all numbers of processes see the same batches.
    Raises ShapeError where rows do not divide, ValueError for integers that would be cut.
    """
    require_fits(batches.examples)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((batches.batch, *leaf.shape[1:]), leaf.dtype), batches.examples
    )
    places = batch_shardings(like, layout)

    def batch_at(step):
        rows = indices(batches.seed, int(step), size=batches.size, batch=batches.batch)

        def leaf_at(leaf, shape, place):
            read = lambda index: np.asarray(leaf[rows[index[0]]])[:, *index[1:]]
            return jax.make_array_from_callback(shape.shape, place, read)

        return jax.tree.map(leaf_at, batches.examples, like, places)

    return batch_at


def on_mesh(f: Callable[..., Any], layout: Layout, *, strict: bool = True) -> Callable[..., Any]:
    """f(params, state, batch, ...) with the parameters as the layout has them in use, and the batch split.

    For loss functions and for what `train.make_evaluate` takes; there with strict=False, for the last rows may not
    divide.  Without it the compiler would choose, and sooner move activations than gather parameters.
    """

    def placed(params, state, batch, *rest):
        # Home first: a state from elsewhere, a checkpoint of one device, then goes there with the first step.
        home = jax.lax.with_sharding_constraint(params, shardings(params, layout))
        used = jax.lax.with_sharding_constraint(home, used_shardings(params, layout))
        return f(used, state, split(batch, layout, strict=strict), *rest)

    return placed


def _put(leaf: Any, place: Sharding) -> jax.Array:
    """A copy: a step reuses the memory of the state it is given."""
    if is_key(leaf):
        numbers = _put(jax.random.key_data(leaf), place)
        return jax.random.wrap_key_data(numbers, impl=str(jax.random.key_impl(leaf)))
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.jit(jnp.copy, out_shardings=place)(leaf)
    if place.is_fully_addressable:
        return jax.device_put(leaf.copy() if isinstance(leaf, jax.Array) else np.array(leaf), place)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, place, lambda index: np.array(whole[index]))
