"""Whole training states as files that other tools can read, that cannot run code and cannot be damaged in silence."""

from fdl.train.checkpoint.config import ConfigError, plain_config
from fdl.train.checkpoint.lock import LockedError, locked
from fdl.train.checkpoint.manifest import CheckpointError, FormatError
from fdl.train.checkpoint.reading import Taken, latest, read_config, read_metadata, restore, restore_part
from fdl.train.checkpoint.writing import Writer, background, save

__all__ = [
    "CheckpointError",
    "ConfigError",
    "FormatError",
    "LockedError",
    "Taken",
    "Writer",
    "background",
    "latest",
    "locked",
    "plain_config",
    "read_config",
    "read_metadata",
    "restore",
    "restore_part",
    "save",
]
