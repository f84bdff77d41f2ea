"""A run as its directory holds it: begun, gone on with, gone back to."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from fdl.data import Batches, to_device
from fdl.train import checkpoint
from fdl.train.checkpoint.reading import seen
from fdl.train.history import History
from fdl.train.loop import RESIDENT_BYTES, NonFiniteError
from fdl.train.period import Period
from fdl.train.progress import Progress
from fdl.train.rows import write_rows
from fdl.train.together import of_first, require_equal
from fdl.tree import Where, nbytes


@dataclass(frozen=True)
class Saving:
    """How a run is saved: every so many steps besides at each report; the newest `keep` stay.

    strict=False makes a full disk a warning.  config is what the run is made of, plain data as
    `checkpoint.plain_config` takes it: it stands in every checkpoint, and to go on with another one is refused, but for
    the paths that `may_change` means, as in "optimizer/**".
    """

    every: int | None = None
    keep: int = 3
    strict: bool = True
    config: Any = None
    may_change: Where = ()

    def __post_init__(self):
        if self.every is not None and self.every < 1:
            raise ValueError(f"a run is saved every 1 or more steps, got {self.every}")
        object.__setattr__(self, "config", checkpoint.plain_config(self.config))


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
    directory: Any,
    run: Progressed,
    error: NonFiniteError,
    most: int,
    saving: Saving,
    writer: checkpoint.Writer,
    progress: Progress,
) -> Progressed:
    """The newest checkpoint, with the data that the lost steps saw left behind; or the error."""
    writer.wait()
    saved = of_first(lambda: checkpoint.latest(directory)) if directory else None
    if run.back >= most or saved is None:
        error.add_note("there is no checkpoint" if saved is None else f"the last good checkpoint is of step {saved}")
        raise error
    progress.note(f"not finite at step {error.step}: back to step {saved}, on with other data")
    before = _restored(directory, run.state, saving)
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
def writer_of(directory: Any, saving: Saving) -> Iterator[checkpoint.Writer]:
    """The writer of the directory; without one it writes nothing."""
    if directory is None:
        yield checkpoint.Writer(lambda state, metadata=None: None, lambda: None)
        return
    how = {"config": saving.config, "keep": saving.keep, "strict": saving.strict}
    with checkpoint.background(directory, **how) as writer:
        yield writer


def begun(directory: Any, state: Any, resume: bool, saving: Saving, progress: Progress) -> Progressed:
    """The run where it begins, or goes on.  Raises DisagreementError where processes are not of one run."""
    require_equal("the configuration", saving.config)
    if directory is None:
        return Progressed(state, History())
    saved = seen(Path(directory))
    if saved and not resume:
        raise checkpoint.CheckpointError(
            f"{directory} holds a run; leave resume=True to go on with it, or choose another directory"
        )
    run = _restored(directory, state, saving) if saved else Progressed(state, History())
    write_rows(Path(directory), run.history)
    if saved:
        progress.note(f"going on after step {int(run.state.step)} of {directory}; another directory starts anew")
    return run


def _restored(directory: Any, like: Any, saving: Saving) -> Progressed:
    state, kept = checkpoint.restore(directory, like, config=saving.config, may_change=saving.may_change)
    period = Period(**kept.get("period", {}))
    return Progressed(state, History(kept.get("history", [])), period, kept.get("shift", 0), kept.get("back", 0))
