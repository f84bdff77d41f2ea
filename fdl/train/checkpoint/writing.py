"""Save whole states: copied to the host, written beside, made durable, renamed; the old ones go last."""

import shutil
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl.train.checkpoint import arrays, disk, folders, manifest
from fdl.train.checkpoint.lock import locked
from fdl.train.checkpoint.manifest import CheckpointError
from fdl.train.checkpoint.reading import read
from fdl.tree import flatten, is_key


class Content(NamedTuple):
    """All of a checkpoint, on the host: its step, arrays by path, kinds of random keys by path, metadata."""

    step: int
    arrays: dict[str, np.ndarray]
    keys: dict[str, str]
    metadata: dict[str, Any]


class Writer(NamedTuple):
    """What `background` gives: save(state, metadata=None), and wait(), which returns when all is written."""

    save: Callable[..., None]
    wait: Callable[[], None]


def save(
    directory: str | Path, state: Any, *, metadata: dict[str, Any] | None = None, keep: int | Collection[int] = 3
) -> Path:
    """Write the state as directory/step_00001234 and return that path; all but the newest `keep` are then removed.

    Until the new checkpoint is durable and renamed into place, the old ones stand untouched.
    `metadata` is plain JSON data; keep may also be the steps to keep, whatever their order.  Raises OSError where the
    disk refuses, with nothing changed; LockedError where another process writes there; unless steps to keep are given
    CheckpointError where a later step stands there already, so that no run hides behind the end of another.
    """
    return write(Path(directory), on_host(state, metadata), keep)


@contextmanager
def background(directory: str | Path, *, keep: int = 3, strict: bool = True) -> Iterator[Writer]:
    """Save in the background: `with background("runs/x") as writer: ... writer.save(state, metadata=...)`.

    save copies the state to the host, so that it may be donated at once, and returns; one thread writes.  What went
    wrong there is raised by the next save, at the latest at the end of the block, which waits for the last one.  With
    strict=False an OSError, such as that of a full disk, is a warning.  The block is the only writer of the directory.
    """
    directory = Path(directory)
    pending: list[Future] = []

    def wait() -> None:
        while pending:
            try:
                pending.pop().result()
            except OSError as error:
                if strict:
                    raise
                warnings.warn(str(error), stacklevel=3)

    def save(state: Any, *, metadata: dict[str, Any] | None = None) -> None:
        wait()
        pending.append(thread.submit(write, directory, on_host(state, metadata), keep))

    with locked(directory), ThreadPoolExecutor(1, "fdl-checkpoint") as thread:
        try:
            yield Writer(save, wait)
        except BaseException as error:
            for failed in filter(None, [future.exception() for future in pending]):
                error.add_note(f"and the last checkpoint was not saved: {failed}")
            raise
        wait()


def on_host(state: Any, metadata: dict[str, Any] | None = None) -> Content:
    """A copy that no donation and no later change reaches."""
    leaves = flatten(state)
    keys = {path: str(jax.random.key_impl(leaf)) for path, leaf in leaves.items() if is_key(leaf)}
    numbers = {path: jax.random.key_data(leaf) if path in keys else leaf for path, leaf in leaves.items()}
    for leaf in numbers.values():
        if isinstance(leaf, jax.Array):
            leaf.copy_to_host_async()
    held = {path: np.array(leaf, order="C") for path, leaf in numbers.items()}
    return Content(int(state.step), held, keys, manifest.plain(metadata or {}))


def write(directory: Path, content: Content, keep: int | Collection[int]) -> Path:
    """Write a checkpoint, and retire old ones."""
    if isinstance(keep, int) and keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}: a run needs a checkpoint to go on from")
    needed = arrays.size(content.arrays)
    temporary = directory / f".writing-{uuid.uuid4().hex}"
    try:
        with locked(directory):
            if isinstance(keep, int):
                _make_way(directory, content.step)
            target = folders.free_name(directory, content.step)
            try:
                _write_into(temporary, content, needed)
                disk.commit(temporary, target)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)  # gone where it was renamed
            folders.retire(directory, keep)
    except OSError as error:
        why = f"step {content.step} was not saved: {error.strerror or error}; it needs {needed:,} bytes"
        raise OSError(error.errno, why + _free(directory), str(directory)) from error
    return target


def _write_into(folder: Path, content: Content, needed: int) -> None:
    folder.mkdir()
    arrays.write(folder / manifest.ARRAYS, content.arrays)
    listed = {
        "format": manifest.FORMAT,
        "step": content.step,
        "arrays": {path: manifest.describe_array(array) for path, array in content.arrays.items()},
        "files": {manifest.ARRAYS: needed},
        "keys": content.keys,
        "metadata": content.metadata,
        "environment": manifest.environment(),
    }
    disk.write(folder / manifest.NAME, [manifest.encode(listed)])


def _make_way(directory: Path, step: int) -> None:
    """Set damaged checkpoints of later steps aside, which would hide the new one; refuse where one is whole."""
    for folder in folders.newest_first(directory):
        if folders.step_of(folder) <= step:  # type: ignore[operator]
            return
        try:
            read(folder)
        except manifest.FormatError:
            raise
        except CheckpointError:
            folder.rename(folder.with_name(f"damaged_{folder.name}"))
        else:
            raise CheckpointError(
                f"{directory} holds the later step {folders.step_of(folder)} already, so step {step} would be hidden "
                "behind it: resume from there, or choose another directory"
            )


def _free(directory: Path) -> str:
    try:
        return f", {shutil.disk_usage(directory).free:,} are free"
    except OSError:
        return ""
