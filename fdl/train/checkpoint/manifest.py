"""The manifest of a checkpoint: type and SHA-256 of each array, the environment, and a digest of itself."""

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import numpy as np

FORMAT = 1
NAME = "manifest.json"
MAX_BYTES = 64 * 2**20


class CheckpointError(ValueError):
    """A checkpoint is damaged, incomplete, or not the one asked for."""


def describe_array(array: np.ndarray) -> dict[str, Any]:
    """What must be true of the array when it is read again."""
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": sha256(array)}


def sha256(array: np.ndarray) -> str:
    """Digest of the bytes in memory order."""
    return hashlib.sha256(array.tobytes()).hexdigest()


def environment() -> dict[str, Any]:
    """What the bits of a run depend on besides the program."""
    return {
        "jax": jax.__version__,
        "jaxlib": metadata.version("jaxlib"),
        "python": platform.python_version(),
        "platform": jax.default_backend(),
        "device_kind": jax.devices()[0].device_kind,
        "device_count": jax.device_count(),
        "cpu_count": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def encode(manifest: dict[str, Any]) -> bytes:
    """The manifest as bytes that carry their own digest."""
    plain = json.loads(json.dumps(manifest, default=lambda array: array.tolist()))
    return json.dumps(plain | {"digest": _digest(plain)}, indent=1, sort_keys=True).encode()


def read(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint folder.  Raises CheckpointError unless it is whole."""
    path = folder / NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path} is larger than {MAX_BYTES} bytes; it is no manifest of ours")
        manifest = json.loads(path.read_bytes())
        digest = manifest.pop("digest")
    except (OSError, ValueError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if digest != _digest(manifest):
        raise CheckpointError(f"{path} is damaged: its digest does not match")
    if manifest.get("format") != FORMAT:
        raise CheckpointError(f"{path} has format {manifest.get('format')!r}, this version reads {FORMAT}")
    return manifest


def _digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
