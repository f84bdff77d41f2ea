"""Restore whole states: what a checkpoint says of itself is checked first, then every bit of it."""

import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import TreeError
from fdl.train.checkpoint import arrays, folders, manifest
from fdl.train.checkpoint.manifest import CheckpointError, FormatError
from fdl.tree import Tree, differences, flatten

SHOWN = 8


def latest(directory: str | Path) -> int | None:
    """The newest step with a whole manifest, computed from the folders; None where there is none."""
    content = next(_whole(Path(directory)), None)
    return content["step"] if content else None


def read_metadata(directory: str | Path) -> dict[str, Any]:
    """The metadata of the newest checkpoint with a whole manifest."""
    content = next(_whole(Path(directory)), None)
    if content is None:
        raise CheckpointError(f"no whole checkpoint in {directory}")
    return content["metadata"]


def restore(directory: str | Path, like: Tree, *, step: int | None = None) -> tuple[Any, dict[str, Any]]:
    """(state, metadata) of the newest checkpoint, in the structure of `like` (arrays or shapes alone).

    A damaged checkpoint is passed over with a warning for the one before it; with step= that step is wanted and no
    other.  Another environment than the one that it was saved in is a warning, since bits may differ from there on.
    Raises CheckpointError where none is whole, FormatError where a newer fdl wrote it, TreeError naming the paths
    where a whole one is of another model or optimizer: nothing is loaded in part.
    """
    directory, damage = Path(directory), []
    for folder in folders.newest_first(directory):
        if step is not None and folders.step_of(folder) != step:
            continue
        try:
            content = manifest.read(folder)
            _require_fit(folder, content, like)
            found = _arrays(folder, content)
        except FormatError:
            raise
        except CheckpointError as error:
            damage.append(str(error))
            warnings.warn(f"{error}; trying the checkpoint before it", stacklevel=2)
            continue
        _warn_of_changes(folder, content)
        return _rebuilt(content, found, like), content["metadata"]
    what = f"no whole checkpoint{'' if step is None else f' of step {step}'} in {directory}"
    raise CheckpointError("; ".join([what, *damage] if directory.is_dir() else [what, "there is no such directory"]))


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and arrays of one checkpoint, every one equal to its digest.  Raises CheckpointError."""
    content = manifest.read(folder)
    return content, _arrays(folder, content)


def _arrays(folder: Path, content: dict[str, Any]) -> dict[str, np.ndarray]:
    if content["files"].keys() != {manifest.ARRAYS}:
        raise CheckpointError(f"{folder} should hold the files {', '.join(content['files'])}, which are not ours")
    return arrays.read(folder / manifest.ARRAYS, content["arrays"], content["files"][manifest.ARRAYS])


def _whole(directory: Path) -> Iterator[dict[str, Any]]:
    for folder in folders.newest_first(directory):
        try:
            yield manifest.read(folder)
        except CheckpointError:
            continue


def _require_fit(folder: Path, content: dict[str, Any], like: Tree) -> None:
    """Raise TreeError unless the manifest lists the leaves of `like`; it costs no memory for arrays."""
    found = {path: _type(folder, path, array, content["keys"]) for path, array in content["arrays"].items()}
    wrong = differences(found, flatten(like))
    if not wrong:
        return
    # What the model says comes before what the optimizer remembers of it.
    lines = sorted(wrong, key=lambda line: not line.startswith("params"))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    raise TreeError(
        f"{folder} holds another model or optimizer ({len(wrong)} paths differ):\n  "
        + "\n  ".join(lines[:SHOWN] + more)
    )


def _type(folder: Path, path: str, array: dict[str, Any], keys: dict[str, str]) -> jax.ShapeDtypeStruct:
    shape, dtype = tuple(array["shape"]), np.dtype(array["dtype"])
    if path not in keys:
        return jax.ShapeDtypeStruct(shape, dtype)
    try:
        return _key_type(shape, dtype, keys[path])
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: {path} is no random key: {error}") from error


@lru_cache(maxsize=64)
def _key_type(shape: tuple[int, ...], dtype: np.dtype, impl: str) -> jax.ShapeDtypeStruct:
    numbers = jax.ShapeDtypeStruct(shape, dtype)
    return jax.eval_shape(lambda data: jax.random.wrap_key_data(data, impl=impl), numbers)


def _warn_of_changes(folder: Path, content: dict[str, Any]) -> None:
    changed = manifest.changes(content["environment"])
    if changed:
        warnings.warn(
            f"{folder} was saved in another environment: {'; '.join(changed)}. From here on bits may differ",
            stacklevel=3,
        )


def _rebuilt(content: dict[str, Any], found: dict[str, np.ndarray], like: Tree) -> Any:
    leaves = [_leaf(path, found[path], content["keys"].get(path)) for path in flatten(like)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _leaf(path: str, array: np.ndarray, impl: str | None) -> jax.Array:
    # A copy on the device side: a donated buffer must not be NumPy's memory.
    value = jnp.array(array, copy=True)
    if value.dtype != array.dtype:
        raise TreeError(f"{path} is {array.dtype}, which JAX would cut to {value.dtype}; start with JAX_ENABLE_X64=1")
    return value if impl is None else jax.random.wrap_key_data(value, impl=impl)
