"""Checkpoints of a state on a mesh: saved from any number of devices and processes, restored on any other."""

from pathlib import Path
from typing import Any

import jax

from fdl.distributed.rules import Layout, shardings
from fdl.train import checkpoint
from fdl.train.checkpoint import save
from fdl.tree import Tree

__all__ = ["save", "restore"]


def restore(directory: str | Path, like: Tree, layout: Layout, **how: Any) -> tuple[Any, dict[str, Any]]:
    """`train.checkpoint.restore` as the layout splits the state, whatever it was saved from: the same bits.

    like is a state or its shapes, as from `jax.eval_shape`.  All processes call it, in a directory that all see; each
    reads the parts of arrays that its own devices are to hold.
    """
    place = lambda leaf, where: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
    return checkpoint.restore(directory, jax.tree.map(place, like, shardings(like, layout)), **how)
