"""The manifest of a checkpoint: type and parts of each array, their SHA-256, a digest of itself, and more."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib.version
import numpy as np

from fdl.train.checkpoint.config import config_sha256
from fdl.train.checkpoint.folders import step_of
from fdl.train.checkpoint.parts import Part, fill

FORMAT = 3
NAME = "manifest.json"
ARRAYS = "arrays.safetensors"
FILE = re.compile(r"arrays(-[0-9]{5}-of-[0-9]{5})?\.safetensors|orbax")
MAX_BYTES = 64 * 2**20
MAX_AXES = 32

FIELDS = {
    "format": int,
    "step": int,
    "arrays": dict,
    "files": dict,
    "keys": dict,
    "metadata": dict,
    "config": dict,
    "config_sha256": str,
    "environment": dict,
}


class CheckpointError(ValueError):
    """A checkpoint is damaged, incomplete, or not the one asked for."""


class FormatError(CheckpointError):
    """A checkpoint was written by a newer version of fdl."""


def file_here() -> str:
    """The name of the file that this process writes."""
    count = jax.process_count()
    return ARRAYS if count == 1 else f"arrays-{jax.process_index():05d}-of-{count:05d}.safetensors"


def describe_part(part: Part) -> dict[str, Any]:
    """What must be true of the part when it is read again, from the file that this process writes."""
    start, shape = map(list, part.box)
    return {"file": file_here(), "start": start, "shape": shape, "sha256": sha256(part.numbers)}


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
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise ValueError(f"it has {size:,} bytes, more than {MAX_BYTES:,}")
            text = file.read(size)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    content = decode(path, text)
    if step_of(folder) not in (None, content["step"]):
        raise CheckpointError(f"{path} is of step {content['step']}: it was moved here from another checkpoint")
    return content


def decode(path: Path, text: str | bytes) -> dict[str, Any]:
    """What `encode` made, as the newest format has it.  Raises FormatError and CheckpointError as `read` does."""
    try:
        content = json.loads(text, object_pairs_hook=without_twins)
        digest = content.pop("digest")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if digest != _digest(content):
        raise CheckpointError(f"{path} is damaged: its digest does not match")
    content = _upgraded(path, content)
    wrong = next(_faults(content), None)
    if wrong:
        raise CheckpointError(f"{path} is no manifest of ours: {wrong}")
    return content


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


def _from_2(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Format 2 had each array as a whole, and no configuration."""
    try:
        arrays = {path: _in_one_part(**array) for path, array in content["arrays"].items()}
    except (AttributeError, TypeError, KeyError) as error:
        raise CheckpointError(f"{folder / NAME} is no manifest of ours: {error}") from error
    return content | {"format": 3, "arrays": arrays, "config": {}, "config_sha256": config_sha256({})}


def _in_one_part(*, dtype: Any, shape: Any, sha256: Any) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": shape,
        "parts": [{"file": ARRAYS, "start": [0] * len(shape), "shape": shape, "sha256": sha256}],
    }


UPGRADES: dict[int, Callable[[dict[str, Any], Path], dict[str, Any]]] = {1: _from_1, 2: _from_2}


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
    yield from (f"{name} is no file of ours" for name in content["files"] if not FILE.fullmatch(name))
    yield from ("a size is no whole number" for size in content["files"].values() if not _is_count(size))
    yield from ("a key is not named" for name in content["keys"].values() if type(name) is not str)
    if content["config_sha256"] != config_sha256(content["config"]):
        yield "its configuration is not the one it was saved with"
    files = content["files"]
    yield from (f"{path!r} is no array" for path, array in content["arrays"].items() if not _is_array(array, files))


def _is_array(array: Any, files: Collection[str]) -> bool:
    if type(array) is not dict or array.keys() != {"dtype", "shape", "parts"} or type(array["parts"]) is not list:
        return False
    shape, known = array["shape"], type(array["dtype"]) is str and _is_number(array["dtype"])
    if not known or not _is_shape(shape) or not all(_is_part(part, len(shape), files) for part in array["parts"]):
        return False
    return fill(((tuple(part["start"]), tuple(part["shape"])) for part in array["parts"]), shape)


def _is_part(part: Any, axes: int, files: Collection[str]) -> bool:
    if type(part) is not dict or part.keys() != {"file", "start", "shape", "sha256"}:
        return False
    placed = all(_is_shape(part[name]) and len(part[name]) == axes for name in ("start", "shape"))
    return placed and type(part["file"]) is str and part["file"] in files and type(part["sha256"]) is str


def _is_shape(shape: Any) -> bool:
    return type(shape) is list and len(shape) <= MAX_AXES and all(map(_is_count, shape))


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
