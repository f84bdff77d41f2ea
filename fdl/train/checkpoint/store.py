"""Save and restore whole states: written beside, made durable, renamed; checked bit for bit when read."""

import os
import shutil
import uuid
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save_file

from fdl.checks import TreeError
from fdl.train.checkpoint import manifest
from fdl.train.checkpoint.manifest import CheckpointError
from fdl.tree import Tree, differences, flatten, is_key

ARRAYS = "arrays.safetensors"


def save(directory: str | Path, state: Any, *, metadata: dict[str, Any] | None = None, keep: int = 3) -> Path:
    """Write the state as directory/step_00001234 and return that path; all but the newest `keep` are then removed.

    Until the new checkpoint is durable and renamed into place, the old ones stand untouched.
    `metadata` is plain JSON data.  Raises OSError where the disk refuses, with nothing changed.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    arrays = {path: _to_numpy(leaf) for path, leaf in flatten(state).items()}
    content = {
        "format": manifest.FORMAT,
        "step": int(state.step),
        "arrays": {path: manifest.describe_array(array) for path, array in arrays.items()},
        "keys": {path: str(jax.random.key_impl(leaf)) for path, leaf in flatten(state).items() if is_key(leaf)},
        "metadata": metadata or {},
        "environment": manifest.environment(),
    }
    target = _free_name(directory, int(state.step))
    temporary = directory / f".writing-{uuid.uuid4().hex}"
    try:
        temporary.mkdir()
        save_file(arrays, temporary / ARRAYS)
        (temporary / manifest.NAME).write_bytes(manifest.encode(content))
        for path in (temporary / ARRAYS, temporary / manifest.NAME, temporary):
            _sync(path)
        temporary.rename(target)
        _sync(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for old in _folders(directory)[keep:]:
        shutil.rmtree(old)
    return target


def latest(directory: str | Path) -> int | None:
    """The newest step with a whole manifest, computed from the folders; None where there is none."""
    for folder in _folders(Path(directory)):
        try:
            return manifest.read(folder)["step"]
        except CheckpointError:
            continue
    return None


def read_metadata(directory: str | Path) -> dict[str, Any]:
    """The metadata of the newest whole checkpoint."""
    for folder in _folders(Path(directory)):
        try:
            return manifest.read(folder)["metadata"]
        except CheckpointError:
            continue
    raise CheckpointError(f"no whole checkpoint in {directory}")


def restore(directory: str | Path, like: Tree) -> tuple[Any, dict[str, Any]]:
    """(state, metadata) of the newest checkpoint, in the structure of `like` (arrays or shapes alone).

    A damaged checkpoint is passed over with a warning for the one before it.  Raises CheckpointError where none is
    whole, TreeError naming the paths where a whole one is of another model or optimizer.
    """
    damage = []
    for folder in _folders(Path(directory)):
        try:
            content, arrays = _read(folder)
        except CheckpointError as error:
            damage.append(str(error))
            warnings.warn(f"{error}; trying the checkpoint before it", stacklevel=2)
            continue
        return _rebuild(folder, content, arrays, like), content["metadata"]
    raise CheckpointError("; ".join([f"no whole checkpoint in {directory}", *damage]))


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and arrays, every one equal to its digest."""
    content = manifest.read(folder)
    expected, path = content["arrays"], folder / ARRAYS
    try:
        views = dict(deserialize(path.read_bytes()))
        if views.keys() != expected.keys():
            raise CheckpointError(f"{path} holds other arrays than its manifest lists")
        arrays = {name: _array(views[name], expected[name]["dtype"]) for name in expected}
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    for name in expected:
        if manifest.describe_array(arrays[name]) != expected[name]:
            raise CheckpointError(f"{path} is damaged: {name} is not what was saved")
    return content, arrays


def _array(view: dict[str, Any], dtype: str) -> np.ndarray:
    # safetensors' own NumPy reader has no bfloat16; the manifest names the type, JAX has taught it to NumPy.
    return np.frombuffer(view["data"], np.dtype(dtype)).reshape(view["shape"])


def _rebuild(folder: Path, content: dict[str, Any], arrays: dict[str, np.ndarray], like: Tree) -> Any:
    found = {path: _from_numpy(array, content["keys"].get(path)) for path, array in arrays.items()}
    wanted = flatten(like)
    wrong = differences(found, wanted)
    if wrong:
        # What the model says comes before what the optimizer remembers of it.
        lines = sorted(wrong, key=lambda line: not line.startswith("params"))[:8]
        raise TreeError(
            f"{folder} holds another model or optimizer ({len(wrong)} paths differ):\n  " + "\n  ".join(lines)
        )
    return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in wanted])


def _folders(directory: Path) -> list[Path]:
    """Checkpoint folders, newest first: by step, then by how often that step was saved."""
    if not directory.is_dir():
        return []
    parts = [(path, path.name.removeprefix("step_").partition(".")) for path in directory.glob("step_*")]
    ours = [(int(step), int(again or 0), path) for path, (step, _, again) in parts if (step + again).isdigit()]
    return [path for *_, path in sorted(ours, reverse=True)]


def _free_name(directory: Path, step: int) -> Path:
    """A name not taken, so that a step saved again never replaces a good checkpoint before the new one stands."""
    taken = [path for path in _folders(directory) if path.name.startswith(f"step_{step:08d}")]
    again = 1 + int(taken[0].name.partition(".")[2] or 0) if taken else 0
    return directory / (f"step_{step:08d}.{again}" if again else f"step_{step:08d}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf, order="C")


def _from_numpy(array: np.ndarray, impl: str | None) -> jax.Array:
    # A copy on the device side: a donated buffer must not be NumPy's memory.
    value = jnp.array(array, copy=True)
    return value if impl is None else jax.random.wrap_key_data(value, impl=impl)
