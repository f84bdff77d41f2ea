"""Files made durable: when a function here returns, the disk has it, and otherwise an OSError says what failed."""

import os
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path

CHUNK = 2**22


def write(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """A new file with these parts, bytes or views of bytes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        for part in parts:
            rest = memoryview(part)
            while len(rest):
                rest = rest[os.write(descriptor, rest[:CHUNK]) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync(folder: Path) -> None:
    """The names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(folder: Path, name: Path) -> None:
    """Give a finished folder its name, at one stroke."""
    sync(folder)
    os.rename(folder, name)
    sync(name.parent)


def remove(folder: Path) -> None:
    """Take a folder away.  It loses its name first, so that what a kill leaves of it is never taken for a whole one."""
    gone = folder.with_name(f".removing-{uuid.uuid4().hex}")
    os.rename(folder, gone)
    gone.unlink() if gone.is_symlink() else shutil.rmtree(gone)
