"""What the processes of a run agree on: values, sums, when to stop."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather, reached_preemption_sync_point
from jax.sharding import PartitionSpec as Spec

from fdl.distributed.rules import axes_of
from fdl.train.together import DisagreementError
from fdl.tree import Tree, flatten, is_key


def gather(tree: Tree) -> Tree:
    """The whole arrays as NumPy arrays in every process; keys stay keys.  All processes must call it."""
    return jax.tree.map(_gather, tree)


def require_equal_copies(tree: Tree) -> None:
    """Raise DisagreementError unless all copies of every array, or of every part of it, have the same bits.

    The leaves are arrays on one mesh, of one process or many, all of which must call it: at the start of a run and
    every now and then.  Each device reads its part once and sends one number for it.
    """
    leaves = flatten(tree)
    arrays = tuple(jax.random.key_data(leaf) if is_key(leaf) else leaf for leaf in leaves.values())
    unequal = _unequal(arrays, tuple(array.sharding for array in arrays))
    wrong = [path for path, differ in zip(leaves, unequal) if bool(differ)]
    if wrong:
        raise DisagreementError(f"devices hold different copies of {', '.join(wrong[:8])}, {len(wrong)} arrays in all")


def preempted(step: int) -> bool:
    """Whether this is the step after which all processes stop and save, since one of them was told to end (SIGTERM).

    Every process calls it after every step, with the number of the step; all are answered True at the same one.
    Always False where `init` found one process, which a signal reaches by itself.
    """
    return reached_preemption_sync_point(step)


def _gather(leaf: Any) -> Any:
    if is_key(leaf):
        numbers = _gather(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(numbers, impl=str(jax.random.key_impl(leaf)))
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


@partial(jax.jit, static_argnums=1)
def _unequal(arrays: tuple, places: tuple) -> tuple:
    """For each array whether devices hold different copies of one part."""
    mesh = places[0].mesh
    specs = tuple(place.spec for place in places)

    def differ(*parts):
        return tuple(_differs(part, spec, mesh.axis_names) for part, spec in zip(parts, specs))

    return jax.shard_map(differ, mesh=mesh, in_specs=specs, out_specs=Spec(), check_vma=False)(*arrays)


def _differs(part: jax.Array, spec: Spec, axes: tuple[str, ...]) -> jax.Array:
    """Whether devices along those axes over which an array is not split hold different parts of it."""
    split = {axis for entry in spec for axis in axes_of(entry)}
    number, copies = _checksum(part), tuple(axis for axis in axes if axis not in split)
    unequal = jax.lax.pmax(number, copies) != jax.lax.pmin(number, copies) if copies else jnp.zeros((), bool)
    return jax.lax.pmax(unequal.astype(jnp.int32), axes) > 0


def _checksum(x: jax.Array) -> jax.Array:
    """A number of 32 bits that depends on every bit of x and on where it stands."""
    if jnp.iscomplexobj(x):
        x = jnp.stack([x.real, x.imag])
    if x.dtype != jnp.bool_:
        x = jax.lax.bitcast_convert_type(x, jnp.uint32 if x.dtype.itemsize >= 4 else f"uint{8 * x.dtype.itemsize}")
    bits = x.astype(jnp.uint32).ravel()
    return jnp.sum(bits * (2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1), dtype=jnp.uint32)
