"""A run as its directory holds it: begun, gone on with, gone back to."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from fdl.data import Batches, to_device
from fdl.train import checkpoint
from fdl.train.checkpoint.folders import newest_first
from fdl.train.history import History
from fdl.train.loop import RESIDENT_BYTES, NonFiniteError
from fdl.train.period import Period
from fdl.train.progress import Progress
from fdl.train.rows import write_rows
from fdl.tree import nbytes


class Progressed(NamedTuple):
    """A run so far, as a checkpoint holds it; back: how often it went back, shift: by how much its data moved on."""

    state: Any
    history: History
    period: Period = Period()
    shift: int = 0
    back: int = 0

    def metadata(self) -> dict[str, Any]:
        """All but the state."""
        return {"history": list(self.history), "period": self.period._asdict(), "shift": self.shift, "back": self.back}


def gone_back(
    directory: Any, run: Progressed, error: NonFiniteError, most: int, writer: checkpoint.Writer, progress: Progress
) -> Progressed:
    """The newest checkpoint, with the data that the lost steps saw left behind; or the error."""
    writer.wait()
    saved = checkpoint.latest(directory) if directory else None
    if run.back >= most or saved is None:
        error.add_note("there is no checkpoint" if saved is None else f"the last good checkpoint is of step {saved}")
        raise error
    progress.note(f"not finite at step {error.step}: back to step {saved}, on with other data")
    before = _restored(directory, run.state)
    write_rows(Path(directory), before.history)
    return before._replace(shift=run.shift + error.step + 1 - saved, back=run.back + 1)


def shifted(batches: Any, shift: int) -> Any:
    """The same batches from a later place on; shuffled ones in another order."""
    if not shift:
        return batches
    if isinstance(batches, Batches):
        return dataclasses.replace(batches, seed=batches.seed + shift)
    return lambda step: batches(step + shift)


def resident(batches: Any) -> Any:
    """Batches with their examples on the device for the whole run, where `run` would hold them for each part of it."""
    if not isinstance(batches, Batches) or nbytes(batches.examples) > RESIDENT_BYTES:
        return batches
    return dataclasses.replace(batches, examples=to_device(batches).examples)


@contextmanager
def writer_of(directory: Any, keep: int, strict: bool) -> Iterator[checkpoint.Writer]:
    """The writer of the directory; without one it writes nothing."""
    if directory is None:
        yield checkpoint.Writer(lambda state, metadata=None: None, lambda: None)
        return
    with checkpoint.background(directory, keep=keep, strict=strict) as writer:
        yield writer


def begun(directory: Any, state: Any, resume: bool, progress: Progress) -> Progressed:
    """The run where it begins, or goes on."""
    if directory is None:
        return Progressed(state, History())
    saved = newest_first(Path(directory))
    if saved and not resume:
        raise checkpoint.CheckpointError(
            f"{directory} holds a run; leave resume=True to go on with it, or choose another directory"
        )
    run = _restored(directory, state) if saved else Progressed(state, History())
    write_rows(Path(directory), run.history)
    if saved:
        progress.note(f"going on after step {int(run.state.step)} of {directory}; another directory starts anew")
    return run


def _restored(directory: Any, like: Any) -> Progressed:
    state, kept = checkpoint.restore(directory, like)
    period = Period(**kept.get("period", {}))
    return Progressed(state, History(kept.get("history", [])), period, kept.get("shift", 0), kept.get("back", 0))
