"""The training helper: run, measure once an epoch, save, stop early, go on where a run was cut."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.compile import compile
from fdl.data import Batches
from fdl.train import checkpoint
from fdl.train.history import History
from fdl.train.loop import NonFiniteError
from fdl.train.period import Period, advance
from fdl.train.progress import Progress
from fdl.train.resume import Progressed, Saving, begun, gone_back, resident, shifted, writer_of
from fdl.train.rows import append_row
from fdl.train.signals import StoppedError, stop_signals
from fdl.train.step import Step
from fdl.train.watchdog import watchdog
from fdl.tree import Tree

Hook: TypeAlias = Callable[[Any, History], tuple[Any, dict[str, Any]]]


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
    hooks: Sequence[Hook] = (),
    early_stopping: EarlyStopping | None = None,
    directory: str | Path | None = None,
    resume: bool = True,
    saving: Saving = Saving(),
    rollbacks: int = 0,
    timeout: float | None = None,
    progress: Progress | None = None,
) -> tuple[Any, History]:
    """Train up to this many steps or epochs in all; returns the last state, or the best under early stopping.

    Every `every` steps (an epoch, unless told) it adds a row to the history: mean training metrics since the last,
    what `evaluate(state)` gives, examples a second, and what the hooks add.  hook(state, history) -> (state, entries)
    may change the state and gives more entries of the last row; an entry "stop" that is true ends the run.

    With a directory the rows go to metrics.jsonl and metrics.csv there, and the whole state is saved in the background
    at every report; `saving` says how else, and of what configuration.  The same call again goes on from the newest:
    same bits at the end.  SIGTERM, SIGINT or SIGUSR1 end the run after a save with exit code 75 (`StoppedError`); a
    second one at once.  A state with parameters that are not finite is never saved.  Raises NonFiniteError where the
    loss is not finite; with rollbacks=n the first n times the run goes back to the newest checkpoint instead and on
    with other data.  With timeout=seconds a run that hangs ends: `watchdog`.

    All processes of a run call it alike, with a directory that all see: the first one writes rows and prints, a signal
    to one ends all after the same step.
    """
    total, every = _lengths(batches, steps, epochs, every)
    if rollbacks and not directory:
        raise ValueError("to roll back a run needs a directory with its checkpoints")
    progress, batches = progress or Progress(), resident(batches)
    with stop_signals(bool(directory)) as asked, writer_of(directory, saving) as writer:
        run = begun(directory, state, resume, saving, progress)
        best = _best_restored(directory, run, early_stopping)
        if rollbacks and int(run.state.step) == 0:
            writer.save(run.state, metadata=run.metadata())
        with watchdog(timeout) as alive:
            while (done := int(run.state.step)) < total and not _is_over(run.history, early_stopping):
                count = min(total, *(done - done % n + n for n in (every, saving.every) if n)) - done
                try:
                    run = _advanced(step, run, batches, count, progress, lambda: alive() or asked())
                    due = int(run.state.step) % every == 0 or int(run.state.step) == total
                    if due:
                        writer.wait()  # what a hook saves must not be ahead of what the run can go on from
                        run = _reported(run, batches, evaluate, hooks, directory, progress)
                    best = _with_best(best, run, early_stopping, directory, saving) if due else best
                    # After the best one: a history that was saved never speaks of a best state that was not.
                    writer.save(run.state, metadata=run.metadata())
                    alive()
                    if asked():
                        break
                except NonFiniteError as error:
                    run = gone_back(directory, run, error, rollbacks, saving, writer, progress)
    if (number := asked()) and int(run.state.step) < total:
        stopped = StoppedError(number, int(run.state.step))
        progress.note(str(stopped))
        raise stopped
    return (run.state if best is None else best), run.history


def _advanced(step: Step, run: Progressed, batches: Any, count: int, progress: Progress, stop: Callable) -> Progressed:
    """The run some steps later.  Raises NonFiniteError rather than give parameters that are not finite."""
    state, period = advance(step, run.state, shifted(batches, run.shift), count, run.period, progress, stop)
    if "loss" in period.sums and not _finite(state.params):
        seen = {"loss": period.sums["loss"] / period.steps, "parameters": math.nan}
        raise NonFiniteError(int(state.step) - 1, seen, "parameters are")
    return run._replace(state=state, period=period)


def _reported(
    run: Progressed, batches: Any, evaluate: Callable | None, hooks: Sequence[Hook], directory: Any, progress: Progress
) -> Progressed:
    """The run with one row more, and the state as the hooks leave it."""
    row = run.period.row(int(run.state.step), batches)
    row |= evaluate(run.state) if evaluate else {}
    state, history = run.state, History([*run.history, row])
    for hook in hooks:
        state, entries = hook(state, history)
        row |= entries
    if directory:
        append_row(Path(directory), history)
    progress.final(row)
    return run._replace(state=state, history=history, period=Period())


def _best_restored(directory: Any, run: Progressed, stopping: EarlyStopping | None) -> Any:
    if not directory or not stopping or not run.history:
        return None
    step = run.history.best(stopping.watch, stopping.mode)["step"]
    if checkpoint.latest(Path(directory) / "best") is None:
        warnings.warn(f"the best state so far, of step {step}, was not kept: only later ones count", stacklevel=3)
        return None
    return checkpoint.restore(Path(directory) / "best", run.state, step=step)[0]


def _with_best(best: Any, run: Progressed, stopping: EarlyStopping | None, directory: Any, saving: Saving) -> Any:
    """The best state so far, which is this one if its row is the best."""
    if not stopping or run.history.rows_since_best(stopping.watch, stopping.mode):
        return best
    if directory:
        # As of each checkpoint that the run may have to go on from.
        known = [History(run.history[:n]) for n in range(len(run.history), 0, -1)[: saving.keep + 1]]
        steps = {rows.best(stopping.watch, stopping.mode)["step"] for rows in known}
        checkpoint.save(Path(directory) / "best", run.state, config=saving.config, keep=steps)
    return jax.tree.map(_copy, run.state)


def _is_over(history: History, stopping: EarlyStopping | None) -> bool:
    if not history:
        return False
    return bool(history[-1].get("stop")) or bool(
        stopping and history.rows_since_best(stopping.watch, stopping.mode) >= stopping.patience
    )


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


def _copy(leaf: jax.Array) -> jax.Array:
    """A buffer of its own, since the next step takes over the memory of the state."""
    return leaf.copy()


@compile
def _finite(params: Tree) -> jax.Array:
    return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params))]))
