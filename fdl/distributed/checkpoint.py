"""Checkpoints of a state on a mesh: saved from any number of devices and processes, restored on any other."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from fdl.distributed.place import put
from fdl.distributed.processes import gather
from fdl.distributed.rules import Layout, shardings
from fdl.train import checkpoint
from fdl.tree import Tree


def save(directory: str | Path, state: Any, **how: Any) -> None:
    """`train.checkpoint.save` of a state on a mesh; all processes call it, process 0 writes what they gather.

    The files are those of one device, whole arrays, so the checkpoint fits every mesh.  The host of process 0 must have
    room for the state, a device for one whole array at a time.  All return when the checkpoint stands.  Raises what
    `train.checkpoint.save` raises, in processes other than 0 CheckpointError.
    """
    whole, error = jax.tree.map(_for_the_writer, state), None
    if jax.process_index() == 0:
        try:
            checkpoint.save(directory, whole, **how)
        except Exception as caught:  # whatever it is, the others must not wait for ever
            error = caught
    failed = process_allgather(np.array([error is not None])).any()
    if error is not None:
        raise error
    if failed:
        raise checkpoint.CheckpointError(f"process 0 could not write the checkpoint in {directory}")


def restore(directory: str | Path, like: Tree, layout: Layout, **how: Any) -> tuple[Any, dict[str, Any]]:
    """`train.checkpoint.restore` onto a mesh, whatever mesh the state was saved from: the same bits, newly split.

    like is a state or its shapes, as from `jax.eval_shape`.  Every process reads the directory, which all must see.
    """
    with jax.default_device(jax.local_devices(backend="cpu")[0]):  # no device need hold the whole
        state, metadata = checkpoint.restore(directory, like, **how)
    return put(state, shardings(state, layout)), metadata


def _for_the_writer(leaf: Any) -> Any:
    """The whole array, gathered by all and kept by process 0 alone."""
    whole = gather(leaf)
    return whole if jax.process_index() == 0 else None
