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
from fdl.train.checkpoint.config import config_sha256, plain_config
from fdl.train.checkpoint.lock import locked
from fdl.train.checkpoint.manifest import CheckpointError
from fdl.train.checkpoint.parts import Part, as_numbers, called, written_here
from fdl.train.checkpoint.reading import read
from fdl.train.together import exchange, of_first, together


class Content(NamedTuple):
    """What this process writes of a checkpoint, on the host, and by path the types of all arrays and kinds of keys."""

    step: int
    types: dict[str, jax.ShapeDtypeStruct]
    parts: dict[str, list[Part]]
    keys: dict[str, str]
    metadata: dict[str, Any]
    config: dict[str, Any]


class Writer(NamedTuple):
    """What `background` gives: save(state, metadata=None), and wait(), which returns when all is written."""

    save: Callable[..., None]
    wait: Callable[[], None]


def save(
    directory: str | Path,
    state: Any,
    *,
    metadata: dict[str, Any] | None = None,
    config: Any = None,
    keep: int | Collection[int] = 3,
) -> Path:
    """Write the state as directory/step_00001234 and return that path; all but the newest `keep` are then removed.

    Until the new checkpoint is durable and renamed into place, the old ones stand untouched.
    `metadata` is plain JSON data, config what `plain_config` takes; keep may also be the steps to keep, whatever their
    order.  All processes of a run call it, in a directory that all see: each writes the parts of arrays that its own
    devices hold, and it returns when the whole stands.  Raises OSError where the disk refuses, with nothing changed;
    LockedError where another run writes there; unless steps to keep are given CheckpointError where a later step
    stands there already, so that no run hides behind the end of another.
    """
    return write(Path(directory), on_host(state, metadata, config), keep)


@contextmanager
def background(directory: str | Path, *, config: Any = None, keep: int = 3, strict: bool = True) -> Iterator[Writer]:
    """Save in the background: `with background("runs/x") as writer: ... writer.save(state, metadata=...)`.

    save copies the state to the host, so that it may be donated at once, and returns; one thread writes.  What went
    wrong there is raised by the next save, at the latest at the end of the block, which waits for the last one.  With
    strict=False an OSError, such as that of a full disk, is a warning.  The block is the only writer of the directory.
    Of several processes all call it, and save returns when all is written: what they tell each other has one order.
    """
    directory, config = Path(directory), plain_config(config)
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
        pending.append(thread.submit(write, directory, on_host(state, metadata, config), keep))
        if jax.process_count() > 1:
            wait()

    with locked(directory), ThreadPoolExecutor(1, "fdl-checkpoint") as thread:
        try:
            yield Writer(save, wait)
        except BaseException as error:
            for failed in filter(None, [future.exception() for future in pending]):
                error.add_note(f"and the last checkpoint was not saved: {failed}")
            raise
        wait()


def on_host(state: Any, metadata: dict[str, Any] | None = None, config: Any = None) -> Content:
    """A copy that no donation and no later change reaches."""
    numbers, keys = as_numbers(state)
    for leaf in numbers.values():
        if isinstance(leaf, jax.Array):
            leaf.copy_to_host_async()
    types = {path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in numbers.items()}
    parts = {path: written_here(leaf) for path, leaf in numbers.items()}
    return Content(int(state.step), types, parts, keys, manifest.plain(metadata or {}), plain_config(config))


def write(directory: Path, content: Content, keep: int | Collection[int]) -> Path:
    """Write a checkpoint, and retire old ones."""
    if isinstance(keep, int) and keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}: a run needs a checkpoint to go on from")
    named = together(lambda: _named(content))
    try:
        with locked(directory):
            if isinstance(keep, int):
                of_first(lambda: _make_way(directory, content.step))
            target = directory / _written(directory, content, named)
            of_first(lambda: folders.retire(directory, keep))
    except OSError as error:
        needed = arrays.size(named)
        why = f"step {content.step} was not saved: {error.strerror or error}; it needs {needed:,} bytes"
        raise OSError(error.errno, why + _free(directory), str(directory)) from error
    return target


def _named(content: Content) -> dict[str, np.ndarray]:
    """The parts that this process writes, by their names in its file."""
    named = [
        (called(path, part.box, content.types[path].shape), part.numbers)
        for path, parts in content.parts.items()
        for part in parts
    ]
    if len(dict(named)) != len(named):
        raise CheckpointError("two arrays have the same name; rename one")
    return dict(named)


def _written(directory: Path, content: Content, named: dict[str, np.ndarray]) -> str:
    """The name of the checkpoint, whose files were written by all processes and which the first has committed."""
    temporary = directory / exchange(f".writing-{uuid.uuid4().hex}")[0]
    try:
        of_first(temporary.mkdir)
        shares = exchange(together(lambda: _share(temporary, content, named)))
        return of_first(lambda: _committed(temporary, content, shares))
    finally:
        if jax.process_index() == 0:
            shutil.rmtree(temporary, ignore_errors=True)  # gone where it was renamed


def _share(temporary: Path, content: Content, named: dict[str, np.ndarray]) -> dict[str, Any]:
    """Write the file of this process; what the manifest is to say of it."""
    if named:
        arrays.write(temporary / manifest.file_here(), named)
    parts = {path: [manifest.describe_part(part) for part in parts] for path, parts in content.parts.items()}
    return {"files": {manifest.file_here(): arrays.size(named)} if named else {}, "parts": parts}


def _committed(temporary: Path, content: Content, shares: list[dict[str, Any]]) -> str:
    parts = {path: [part for share in shares for part in share["parts"][path]] for path in content.types}
    whole = {
        "format": manifest.FORMAT,
        "step": content.step,
        "arrays": {
            path: {"dtype": str(kind.dtype), "shape": kind.shape, "parts": parts[path]}
            for path, kind in content.types.items()
        },
        "files": {name: size for share in shares for name, size in share["files"].items()},
        "keys": content.keys,
        "metadata": content.metadata,
        "config": content.config,
        "config_sha256": config_sha256(content.config),
        "environment": manifest.environment(),
    }
    text = manifest.encode(whole)
    manifest.decode(temporary / manifest.NAME, text)  # what could not be read again is not written
    disk.write(temporary / manifest.NAME, [text])
    target = folders.free_name(temporary.parent, content.step)
    disk.commit(temporary, target)
    return target.name


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
