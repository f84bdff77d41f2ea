"""The manifest of a checkpoint: type and SHA-256 of each array, sizes of files, the environment, a digest of itself."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from fdl.train.checkpoint.folders import step_of

FORMAT = 2
NAME = "manifest.json"
ARRAYS = "arrays.safetensors"
MAX_BYTES = 64 * 2**20
MAX_AXES = 32

FIELDS = {
    "format": int,
    "step": int,
    "arrays": dict,
    "files": dict,
    "keys": dict,
    "metadata": dict,
    "environment": dict,
}


class CheckpointError(ValueError):
    """A checkpoint is damaged, incomplete, or not the one asked for."""


class FormatError(CheckpointError):
    """A checkpoint was written by a newer version of fdl."""


def describe_array(array: np.ndarray) -> dict[str, Any]:
    """What must be true of the array when it is read again."""
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": sha256(array)}


def sha256(array: np.ndarray) -> str:
    """Digest of the bytes in memory order."""
    return hashlib.sha256(as_bytes(array)).hexdigest()


def as_bytes(array: np.ndarray) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]  what NumPy's types do not say


def environment() -> dict[str, Any]:
    """What the bits of a run depend on besides the program."""
    return {
        "jax": jax.__version__,
        "jaxlib": jaxlib.version.__version__,
        "python": platform.python_version(),
        "platform": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "process_count": jax.process_count(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def changes(before: dict[str, Any]) -> list[str]:
    """What of the recorded environment is another now, but for the version of Python: no bit depends on it."""
    now = environment()
    names = [name for name in now if name != "python" and name in before and before[name] != now[name]]
    return [f"{name} {before[name]!r}, now {now[name]!r}" for name in names]


def plain(value: Any) -> Any:
    """The same as JSON holds it: a copy, arrays as lists.  Raises TypeError for what JSON cannot hold."""
    return json.loads(json.dumps(value, default=_listed))


def encode(content: dict[str, Any]) -> bytes:
    """The manifest as bytes that carry their own digest.  Raises CheckpointError where it would be too long to read."""
    content = plain(content)
    text = json.dumps(content | {"digest": _digest(content)}, indent=1, sort_keys=True).encode()
    if len(text) > MAX_BYTES:
        raise CheckpointError(f"the manifest would have {len(text):,} bytes, more than {MAX_BYTES:,}; shorten metadata")
    return text


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint folder, as the newest format has it.

    Raises FormatError where a newer version wrote it, CheckpointError unless it is whole.
    """
    path = folder / NAME
    try:
        content = _parsed(path)
        digest = content.pop("digest")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if digest != _digest(content):
        raise CheckpointError(f"{path} is damaged: its digest does not match")
    content = _upgraded(path, content)
    wrong = next(_faults(content), None)
    if wrong:
        raise CheckpointError(f"{path} is no manifest of ours: {wrong}")
    if step_of(folder) not in (None, content["step"]):
        raise CheckpointError(f"{path} is of step {content['step']}: it was moved here from another checkpoint")
    return content


def _parsed(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
        text = file.read(size)
    return json.loads(text, object_pairs_hook=without_twins)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; raises ValueError where two entries have the same name."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("two entries of one object have the same name")
    return made


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _from_1(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Format 1 did not list its one file."""
    try:
        size = (folder / ARRAYS).stat().st_size
    except OSError as error:
        raise CheckpointError(f"{folder / ARRAYS} cannot be read: {error}") from error
    return content | {"format": 2, "files": {ARRAYS: size}}


UPGRADES: dict[int, Callable[[dict[str, Any], Path], dict[str, Any]]] = {1: _from_1}


def _upgraded(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    found = content.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise FormatError(f"{path} has format {found}, this version of fdl reads up to {FORMAT}; install a newer one")
    while content.get("format") != FORMAT:
        if type(content.get("format")) is not int or content["format"] not in UPGRADES:
            raise CheckpointError(f"{path} has format {found!r}, which no version of fdl wrote")
        content = UPGRADES[content["format"]](content, path.parent)
    return content


def _faults(content: dict[str, Any]):
    """What is not as `FIELDS` and the writer have it."""
    yield from (
        f"{name} is not a {kind.__name__}" for name, kind in FIELDS.items() if type(content.get(name)) is not kind
    )
    yield from (f"{name!r} is unknown" for name in content if name not in FIELDS)
    yield from ("a size is no whole number" for size in content["files"].values() if not _is_count(size))
    yield from ("a key is not named" for name in content["keys"].values() if type(name) is not str)
    yield from (f"{path!r} is no array" for path, array in content["arrays"].items() if not _is_array(array))


def _is_array(array: Any) -> bool:
    if type(array) is not dict or array.keys() != {"dtype", "shape", "sha256"}:
        return False
    shape = array["shape"]
    shaped = type(shape) is list and len(shape) <= MAX_AXES and all(map(_is_count, shape))
    return shaped and type(array["sha256"]) is str and type(array["dtype"]) is str and _is_number(array["dtype"])


def _is_count(n: Any) -> bool:
    return type(n) is int and 0 <= n < 2**60


def _is_number(name: str) -> bool:
    """Whether this is the name of an element type that JAX computes with."""
    if not re.fullmatch("[a-z0-9_]{3,20}", name):
        return False
    try:
        dtype = np.dtype(name)
    except TypeError:
        return False
    return str(dtype) == name and (dtype == np.bool_ or jnp.issubdtype(dtype, jnp.number))


def _listed(array: Any) -> Any:
    if not hasattr(array, "tolist"):
        raise TypeError(f"metadata must be plain JSON data, got {type(array).__name__}")
    return array.tolist()
