"""What a layout will cost, before any device is asked for: a table of bytes, and the program for an absent mesh."""

import math
from typing import Any

import jax

from fdl.checks import describe
from fdl.distributed.rules import Layout, axes_of, batch_shardings, shardings, used_shardings
from fdl.train.state import TrainState
from fdl.train.step import Step
from fdl.tree import Tree, flatten, nbytes


def table(tree: Tree, layout: Layout) -> str:
    """Parameters or a TrainState as text, a line a leaf: path, type, split, bytes on each device; and their sums.

    The last line is what the parameters take at the start of a step, in use, see `fsdp`.  Takes shapes alone, as from
    `jax.eval_shape`, and an `abstract_mesh`.  Raises what `shardings` raises.
    """
    leaves, places = flatten(tree), flatten(shardings(tree, layout))
    params = tree.params if isinstance(tree, TrainState) else tree
    rows = [
        (path, describe(leaf), _read(places[path].spec), f"{device_bytes(leaf, places[path]):,}")
        for path, leaf in leaves.items()
    ]
    held = _held(tree, shardings(tree, layout))
    rows.append(("all", f"{nbytes(tree):,} bytes", f"{layout.mesh.size} devices", f"{held:,}"))
    used = _held(params, used_shardings(params, layout))
    rows.append(("parameters in use", f"{nbytes(params):,} bytes", "", f"{used:,}"))
    a, b, c, d = (max(map(len, column)) for column in zip(*rows))
    return "\n".join(f"{path:<{a}}  {kind:<{b}}  {spec:<{c}}  {size:>{d}}" for path, kind, spec, size in rows)


def device_bytes(leaf: Any, place: jax.sharding.NamedSharding) -> int:
    """The bytes of a leaf that one device holds."""
    parts = math.prod(place.mesh.shape[axis] for entry in place.spec for axis in axes_of(entry))
    return math.prod(leaf.shape) * leaf.dtype.itemsize // parts


def lower(step: Step, layout: Layout, state: Tree, batch: Tree, *, platform: str = "tpu") -> Any:
    """The program of one step for all devices of the layout's mesh, from shapes alone: as from jax.jit(...).lower.

    The mesh may be an `abstract_mesh`, and the platform one that is not here.
    """
    at = lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)
    given = jax.tree.map(at, state, shardings(state, layout)), jax.tree.map(at, batch, batch_shardings(batch, layout))
    return jax.jit(step.pure, donate_argnums=0).trace(*given).lower(lowering_platforms=(platform,))


def _held(tree: Tree, places: Tree) -> int:
    """The bytes of a tree that one device holds."""
    return sum(jax.tree.leaves(jax.tree.map(device_bytes, tree, places)))


def _read(spec: jax.sharding.PartitionSpec) -> str:
    """(-, model), and "whole" where nothing is split."""
    if not any(spec):
        return "whole"
    return f"({', '.join('+'.join(axes_of(entry)) or '-' for entry in spec)})"
