"""Whole training states as files that other tools can read, that cannot run code and cannot be damaged in silence."""

from fdl.train.checkpoint.manifest import CheckpointError
from fdl.train.checkpoint.store import latest, read_metadata, restore, save

__all__ = ["CheckpointError", "latest", "read_metadata", "restore", "save"]
