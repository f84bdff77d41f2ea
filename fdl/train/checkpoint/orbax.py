"""The same states through Orbax, for object stores and hosts that share no disk: `pip install "fdl[orbax]"`.

Orbax writes and reads the arrays, in its own format.  Our manifest stands beside them, and after reading every array is
compared with its SHA-256, since Orbax itself does not see all damage.  https://orbax.readthedocs.io
"""

import importlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import process_allgather

from fdl.train.checkpoint import manifest
from fdl.train.checkpoint.config import config_sha256, plain_config, require_same
from fdl.train.checkpoint.manifest import CheckpointError
from fdl.train.checkpoint.parts import as_numbers
from fdl.train.checkpoint.reading import newest_whole, place_of, require_fit, require_width
from fdl.tree import Tree, Where, flatten, unflatten

FILE = "orbax"


def save(
    directory: str | Path, state: Any, *, metadata: dict[str, Any] | None = None, config: Any = None, keep: int = 3
) -> None:
    """`checkpoint.save` into a directory or a bucket, such as "gs://bucket/run".

    All processes call it.  For its SHA-256 each array comes to every host as a whole, one after the other.
    Raises CheckpointError where this or a later step stands there already.
    """
    numbers, keys = as_numbers(state)
    step, configured = int(state.step), plain_config(config)
    content = {
        "format": manifest.FORMAT,
        "step": step,
        "arrays": {path: _described(leaf) for path, leaf in numbers.items()},
        "files": {FILE: sum(leaf.nbytes for leaf in numbers.values())},
        "keys": keys,
        "metadata": manifest.plain(metadata or {}),
        "config": configured,
        "config_sha256": config_sha256(configured),
        "environment": manifest.environment(),
    }
    text = manifest.encode(content).decode()
    arrays = unflatten({path: leaf for path, leaf in numbers.items() if leaf.size})  # Orbax refuses those without
    args = _orbax().args
    with _manager(directory, keep) as manager:
        items = args.Composite(state=args.StandardSave(arrays), manifest=args.JsonSave({"manifest": text}))
        if not manager.save(step, args=items):
            raise CheckpointError(
                f"{directory} holds step {manager.latest_step()} already, so step {step} cannot follow"
            )
        manager.wait_until_finished()


def restore(
    directory: str | Path, like: Tree, *, step: int | None = None, config: Any = None, may_change: Where = ()
) -> tuple[Any, dict[str, Any]]:
    """`checkpoint.restore` of what `save` wrote: all of it is the same, places, warnings and errors."""
    with _manager(directory) as manager:
        steps = sorted(manager.all_steps(), reverse=True)
        places = [(Path(str(directory)) / str(found), found) for found in steps]

        def load(where: Path) -> tuple[dict[str, Any], Any]:
            compare = partial(require_same, where, now=config, may_change=may_change)
            return _loaded(manager, where, int(where.name), like, compare)

        content, state = newest_whole(directory, places, step, load)
    return state, content["metadata"]


def _loaded(manager: Any, where: Path, step: int, like: Tree, compare: Callable) -> tuple[dict[str, Any], Any]:
    args = _orbax().args
    kept = _read(manager, where, step, manifest=args.JsonRestore())["manifest"]
    content = manifest.decode(where, kept.get("manifest", ""))
    if content["step"] != step:
        raise CheckpointError(f"{where} is of step {content['step']}: it was moved here from another checkpoint")
    compare(content["config"])
    leaves = flatten(like)
    require_fit(where, content, content["arrays"], leaves)
    kinds = {path: _kind(path, content["arrays"][path], place_of(leaf)) for path, leaf in leaves.items()}
    filled = unflatten({path: kind for path, kind in kinds.items() if kind.size})
    found = flatten(_read(manager, where, step, state=args.StandardRestore(filled))["state"])
    made = {path: found.get(path, jnp.zeros(kind.shape, kind.dtype)) for path, kind in kinds.items()}
    for path, leaf in made.items():
        if _described(leaf) != content["arrays"][path]:
            raise CheckpointError(f"{where} is damaged: {path} is not what was saved")
    impls = content["keys"]
    whole = [jax.random.wrap_key_data(made[p], impl=impls[p]) if p in impls else made[p] for p in leaves]
    return content, jax.tree.unflatten(jax.tree.structure(like), whole)


def _kind(path: str, array: dict[str, Any], place: Any) -> jax.ShapeDtypeStruct:
    dtype = np.dtype(array["dtype"])
    require_width(path, dtype)
    place = place or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(tuple(array["shape"]), dtype, sharding=place)


def _described(leaf: Any) -> dict[str, Any]:
    """Type and SHA-256 of the whole array."""
    split = isinstance(leaf, jax.Array) and not leaf.is_fully_addressable
    whole = np.array(process_allgather(leaf, tiled=True) if split else leaf, order="C")
    shape = list(whole.shape)
    part = {"file": FILE, "start": [0] * len(shape), "shape": shape, "sha256": manifest.sha256(whole)}
    return {"dtype": str(whole.dtype), "shape": shape, "parts": [part]}


def _read(manager: Any, where: Path, step: int, **items: Any) -> Any:
    try:
        return manager.restore(step, args=_orbax().args.Composite(**items))
    except Exception as error:  # of many kinds, where files are damaged
        raise CheckpointError(f"{where} cannot be read by Orbax: {error}") from error


def _manager(directory: str | Path, keep: int | None = None) -> Any:
    orbax, place = _orbax(), str(directory)
    options = orbax.CheckpointManagerOptions(
        max_to_keep=keep, create=keep is not None, enable_async_checkpointing=False
    )
    return orbax.CheckpointManager(place if "://" in place else os.path.abspath(place), options=options)


def _orbax() -> Any:
    return importlib.import_module("orbax.checkpoint")
