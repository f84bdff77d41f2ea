"""The training helper: run, measure once an epoch, save, stop early, go on where a run was cut."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.data import Batches
from fdl.train import checkpoint
from fdl.train.history import History
from fdl.train.loop import dispatches
from fdl.train.progress import Progress
from fdl.train.step import Step


@dataclass(frozen=True)
class EarlyStopping:
    """Stop after `patience` reports without a better value of `watch`, and give back the state of the best."""

    watch: str
    patience: int
    mode: str = "min"


def fit(
    step: Step,
    state: Any,
    batches: Batches | Callable[[int], Any],
    *,
    steps: int | None = None,
    epochs: int | None = None,
    every: int | None = None,
    evaluate: Callable[[Any], dict[str, Any]] | None = None,
    early_stopping: EarlyStopping | None = None,
    directory: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> tuple[Any, History]:
    """Train up to this many steps or epochs in all; returns the last state, or the best under early stopping.

    Every `every` steps (an epoch, unless told) it adds a row to the history: mean training metrics since the last,
    what `evaluate(state)` gives, examples a second; and saves the whole state if there is a directory.
    With resume it first restores the newest checkpoint of the directory and goes on from there: same bits at the end.
    """
    total, every = _lengths(batches, steps, epochs, every)
    history, best = History(), None
    if resume and directory and checkpoint.latest(directory) is not None:
        state, history = _restored(directory, state)
        best = _best_restored(directory, state, history, early_stopping)
    progress = progress or Progress()
    while (done := int(state.step)) < total and not _patience_is_over(history, early_stopping):
        count = min(every - done % every, total - done)
        state, row = _report_period(step, state, batches, count, progress)
        row |= evaluate(state) if evaluate else {}
        history.append(row)
        progress.final(row)
        if early_stopping and history.rows_since_best(early_stopping.watch, early_stopping.mode) == 0:
            best = jax.tree.map(_copy, state)
            if directory:
                checkpoint.save(Path(directory) / "best", state, keep=1)
        if directory:
            # After the best one: a history that was saved never speaks of a best state that was not.
            checkpoint.save(directory, state, metadata={"history": list(history)})
    return (state if best is None else best), history


def _report_period(step: Step, state: Any, batches: Any, count: int, progress: Progress) -> tuple[Any, dict[str, Any]]:
    """The state `count` steps later, and the row of mean metrics on the way."""
    sums: dict[str, float] = {}
    start, done = time.perf_counter(), 0
    after, row = state, {}
    for after, metrics in dispatches(step, state, batches, count):
        done += len(metrics["loss"])
        for name, rows in metrics.items():
            if rows.ndim == 1:
                sums[name] = sums.get(name, 0.0) + float(np.sum(rows, dtype=np.float64))
        seconds = time.perf_counter() - start
        row = {"step": int(after.step)} | {name: total / done for name, total in sums.items()}
        row |= {"seconds": seconds} | _speed(batches, done, seconds)
        progress.live(row)
    return after, row


def _speed(batches: Any, steps: int, seconds: float) -> dict[str, float]:
    return {"examples/s": steps * batches.batch / seconds} if isinstance(batches, Batches) else {}


def _lengths(batches: Any, steps: int | None, epochs: int | None, every: int | None) -> tuple[int, int]:
    """(steps in all, steps between reports)."""
    per_epoch = batches.steps_per_epoch if isinstance(batches, Batches) else None
    if steps is None and epochs is not None:
        if per_epoch is None:
            raise ValueError("only data.Batches know their epoch; give the length of the run as steps=")
        steps = epochs * per_epoch
    elif steps is None or epochs is not None:
        raise ValueError("give the length of the run as either steps= or epochs=")
    every = every or per_epoch or max(steps, 1)
    if steps < 0 or every < 1:
        raise ValueError(f"a run takes 0 or more steps and reports every 1 or more, got {steps} and {every}")
    return steps, every


def _restored(directory: str | Path, state: Any) -> tuple[Any, History]:
    state, metadata = checkpoint.restore(directory, state)
    return state, History(metadata.get("history", []))


def _best_restored(directory: str | Path, like: Any, history: History, stopping: EarlyStopping | None) -> Any:
    best = Path(directory) / "best"
    return checkpoint.restore(best, like)[0] if stopping and history and checkpoint.latest(best) is not None else None


def _patience_is_over(history: History, stopping: EarlyStopping | None) -> bool:
    return bool(stopping and history and history.rows_since_best(stopping.watch, stopping.mode) >= stopping.patience)


def _copy(leaf: jax.Array) -> jax.Array:
    """A buffer of its own, since the next step takes over the memory of the state."""
    return leaf.copy()
