"""Whole training states as files that other tools can read, that cannot run code and cannot be damaged in silence."""

from fdl.train.checkpoint.lock import LockedError, locked
from fdl.train.checkpoint.manifest import CheckpointError, FormatError
from fdl.train.checkpoint.reading import latest, read_metadata, restore
from fdl.train.checkpoint.writing import Writer, background, save

__all__ = [
    "CheckpointError",
    "FormatError",
    "LockedError",
    "Writer",
    "background",
    "latest",
    "locked",
    "read_metadata",
    "restore",
    "save",
]
