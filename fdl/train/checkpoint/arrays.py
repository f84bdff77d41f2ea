"""Arrays in one safetensors file: every size is checked before memory is asked for.

The file is the length of its header, eight bytes, little-endian; the header, JSON; the bytes of the arrays:
https://huggingface.co/docs/safetensors.
"""

import json
import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fdl.train.checkpoint import disk
from fdl.train.checkpoint.manifest import CheckpointError, as_bytes, sha256, without_twins

MAX_HEADER = 64 * 2**20
DTYPES = {
    "bool": "BOOL",
    **{f"{kind}int{bits}": f"{kind.upper() or 'I'}{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": f"F{bits}" for bits in (16, 32, 64)},
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "complex64": "C64",
}


def write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """A new file.  Element types that the format does not know are written as bytes, with an axis more."""
    header, order = _laid_out({name: (str(array.dtype), array.shape) for name, array in arrays.items()})
    disk.write(path, [header, *(as_bytes(arrays[name]) for name in order)])


def size(arrays: dict[str, np.ndarray]) -> int:
    """How many bytes the file will have."""
    header, _ = _laid_out({name: (str(array.dtype), array.shape) for name, array in arrays.items()})
    return len(header) + sum(array.nbytes for array in arrays.values())


def read(
    path: Path, expected: dict[str, dict[str, Any]], length: int, wanted: Collection[str]
) -> dict[str, np.ndarray]:
    """The wanted arrays of a file of this length, each as the manifest has it.

    Raises CheckpointError, before it asks for memory, where a size does not fit, and after where a digest does not.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            found = os.fstat(file.fileno()).st_size
            if found != length:
                raise CheckpointError(f"{path} has {found:,} bytes, its manifest says {length:,}")
            start, header = _header(path, file, found)
            _require_layout(path, header, expected, found - start)
            arrays = {name: _array(path, file, start, header[name], expected[name]) for name in wanted}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    for name, array in arrays.items():
        if sha256(array) != expected[name]["sha256"]:
            raise CheckpointError(f"{path} is damaged: {name} is not what was saved")
    return arrays


def _laid_out(types: dict[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, list[str]]:
    """(length and header, names in the order of their bytes): the widest first, so that every array is aligned."""
    order = sorted(types, key=lambda name: (-np.dtype(types[name][0]).itemsize, name))
    entries, at = {}, 0
    for name in order:
        entry = _stored(*types[name])
        end = at + nbytes(*types[name])
        entries[name], at = entry | {"data_offsets": [at, end]}, end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, order


def _stored(dtype: str, shape: Any) -> dict[str, Any]:
    known = dtype in DTYPES
    return {
        "dtype": DTYPES[dtype] if known else "U8",
        "shape": [*shape] if known else [*shape, np.dtype(dtype).itemsize],
    }


def nbytes(dtype: str, shape: Any) -> int:
    """Bytes of an array of this type, a whole number of any size."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def _header(path: Path, file: BinaryIO, found: int) -> tuple[int, dict[str, Any]]:
    """(where the arrays start, the entries)."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(MAX_HEADER, found - 8):
        raise CheckpointError(f"{path} is damaged: it says that its header has {length:,} bytes")
    try:
        header = json.loads(file.read(length), object_pairs_hook=without_twins)
        header.pop("__metadata__", None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read: {error}") from error
    return 8 + length, header


def _require_layout(path: Path, header: dict[str, Any], expected: dict[str, dict[str, Any]], room: int) -> None:
    """Raise CheckpointError unless the entries are those of the manifest and fill the file without gap or overlap."""
    if header.keys() != expected.keys():
        raise CheckpointError(f"{path} holds other arrays than its manifest lists")
    for name, array in expected.items():
        entry, wanted = header[name], _stored(array["dtype"], array["shape"])
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (isinstance(offsets, list) and len(offsets) == 2 and all(type(at) is int for at in offsets)):
            raise CheckpointError(f"{path} is damaged: it does not say where {name} lies")
        if entry != wanted | {"data_offsets": offsets} or offsets[1] - offsets[0] != nbytes(
            array["dtype"], array["shape"]
        ):
            raise CheckpointError(f"{path} is damaged: {name} is not of the type that its manifest says")
    spans = sorted(header[name]["data_offsets"] for name in expected)
    ends = [0, *(end for _, end in spans)]
    if [start for start, _ in spans] != ends[:-1] or ends[-1] != room:
        raise CheckpointError(f"{path} is damaged: its arrays do not fill it")


def _array(path: Path, file: BinaryIO, start: int, entry: dict[str, Any], expected: dict[str, Any]) -> np.ndarray:
    try:
        array = np.zeros(expected["shape"], expected["dtype"])
    except (ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    file.seek(start + entry["data_offsets"][0])
    rest = as_bytes(array)
    while len(rest):
        count = file.readinto(rest)  # type: ignore[attr-defined]  a file read without a buffer has it
        if not count:
            raise CheckpointError(f"{path} was cut while it was read")
        rest = rest[count:]
    return array
