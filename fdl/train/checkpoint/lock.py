"""One writer a directory: a file that names its holder, and that a holder who died does not keep."""

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fdl.train.checkpoint.folders import clean
from fdl.train.checkpoint.manifest import CheckpointError
from fdl.train.together import of_first

NAME = ".lock"


class LockedError(CheckpointError):
    """Another process writes checkpoints into this directory."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only writer of the directory, which is made if it is missing.

    Raises LockedError, naming the holder, where another process is.  This process may lock it again inside.  Linux
    tells whether a holder on the same machine still lives; of one on another machine nobody can tell.  Of the processes
    of one run the first holds the lock for all.
    """
    with ExitStack() as held:
        of_first(lambda: held.enter_context(_held(directory)))
        yield


@contextmanager
def _held(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    path, mine = directory / NAME, json.dumps(_holder()).encode()
    if not _acquired(path, mine):
        yield
        return
    try:
        clean(directory)
        yield
    finally:
        if _held_by(path) == mine:
            path.unlink()


def _acquired(path: Path, mine: bytes) -> bool:
    """True where the lock is ours now, False where this process had it already."""
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            held = _held_by(path)
            if held == mine:
                return False
            if held is not None:
                _take_over(path, held)
            continue
        try:
            os.write(descriptor, mine)
        finally:
            os.close(descriptor)
        return True


def _held_by(path: Path) -> bytes | None:
    """What stands in the lock, None where it is gone.  A holder writes its name right after it made the file."""
    held = b""
    for _ in range(50):
        try:
            held = path.read_bytes()
        except FileNotFoundError:
            return None
        if held:
            break
        time.sleep(0.02)
    return held


def _take_over(path: Path, held: bytes) -> None:
    """Remove the lock of a dead holder.  Raises LockedError where it lives or may live."""
    try:
        holder = dict(json.loads(held))
    except (ValueError, TypeError):
        holder = None  # it was killed before it had written its name
    if holder and _may_live(holder):
        raise LockedError(
            f"{path.parent} is written by process {holder.get('pid')} on {holder.get('host')}; "
            f"wait for it, or choose another directory. If you know that it has ended, remove {path}"
        )
    # Of several who try, one moves the file; who moved a newer lock than the one read puts it back.
    moved = path.with_name(f"{NAME}-{uuid.uuid4().hex}")
    try:
        os.rename(path, moved)
        if moved.read_bytes() != held:
            os.link(moved, path)
    except (FileNotFoundError, FileExistsError):
        pass
    moved.unlink(missing_ok=True)


def _holder() -> dict[str, Any]:
    pid = os.getpid()
    return {"pid": pid, "host": socket.gethostname(), "boot": _boot(), "started": _started(pid)}


def _may_live(holder: dict[str, Any]) -> bool:
    here = _holder()
    if holder.get("host") != here["host"]:
        return True
    pid = holder.get("pid")
    return holder.get("boot") == here["boot"] and isinstance(pid, int) and _started(pid) == holder.get("started")


def _boot() -> str:
    """What is another after every start of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a living process started, so that its number given to another is noticed; None for a dead one."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else fields[18]
    except OSError:
        return _answers(pid) if not Path("/proc/self/stat").exists() else None


def _answers(pid: int) -> str | None:
    """The same where there is no /proc: whether the process answers, no more."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"
