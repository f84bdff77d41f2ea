"""A sweep: every trial of an experiment trained, those that share a program together, with one table at the end."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from fdl.data import Batches
from fdl.train.fit import fit
from fdl.train.group import Group, grouped
from fdl.train.history import History
from fdl.train.program import Experiment, Run
from fdl.train.progress import Progress
from fdl.train.resume import resident
from fdl.train.rows import write_rows
from fdl.train.search import Trial, checked, names_of, survivors
from fdl.train.signals import StoppedError
from fdl.tree import digest


class Trained(NamedTuple):
    """A trial as far as it came: its run, its row, the name of the folder that holds it."""

    run: Run
    row: dict[str, Any]
    name: str


class Inner(Progress):
    """Of the runs of a group: that they move is shown, while their lines would hold no number of one trial."""

    def __init__(self, outer: Progress):
        self.live = outer.live

    def final(self, row: Any) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""


def sweep(
    experiment: Experiment,
    trials: Sequence[Trial],
    batches: Batches | Callable[[int], Any],
    steps: int | Sequence[int],
    *,
    by: str = "loss",
    mode: str = "min",
    eta: int = 3,
    apart: Sequence[str] = (),
    exact: bool = False,
    every: int | None = None,
    devices: Sequence[Any] | None = None,
    directory: str | Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[Any], History]:
    """Train every trial for so many steps; returns the states and the rows, both in the order of the trials.

    experiment(**trial) -> (step, state) or (step, state, measure) is what one writes for a single run, and pure.  A row
    is trial | {"step": ..., training metrics} | measure(state): means over the steps since the last multiple of `every`
    (a tenth of the first number of steps, unless told), and numbers by name, such as the error on held-out examples.

    Trials that differ in floats and seeds alone, which are given as arrays, share a program and train together:
    `swept`, exact or not, split over the devices, all of this process unless given.  Integers, strings and what is
    named in `apart` make programs of their own.  A run that diverges has NaN in its row and stops no other.

    steps=[200, 600, 1800] halves successively: the 1 / eta that are best `by` a column, lowest or in mode "max"
    highest, go on to the next number of steps; the row of another says how far it came.

    With a directory, the rows are in its metrics.jsonl and metrics.csv and the states in folders by program, data and
    trials: the same call again goes on from there and ends with the same rows, whenever it was cut, while what has
    changed is trained anew.  Raises ValueError for trials that are there twice, TypeError where they are no JSON.
    """
    budgets = _budgets(trials, steps, mode, eta)
    every = every or -(-budgets[0] // 10)
    how = {"apart": apart, "every": every, "exact": exact, "devices": devices or jax.local_devices()}
    directory, progress = Path(directory) if directory else None, progress or Progress()
    train, left = _trainer(batches, every, directory, progress), list(range(len(trials)))
    _require_column(by, grouped(experiment, trials, left, **how), batches(0))
    done: dict[int, Trained] = {}
    for budget in budgets:
        groups = grouped(experiment, trials, left, **how)
        progress.note(f"to step {budget}: trials {len(left)}, programs {len(groups)}")
        for group in groups:
            done |= train(group, budget, trials, done)
            progress.final(done[_best(done, group.places, by, mode)].row)
            if directory:
                write_rows(directory, [done[place].row for place in sorted(done)])
        left = survivors(_sizes(done, left, by, mode), eta)
    trained = [done[place] for place in range(len(trials))]
    return [one.run.state._replace(step=one.run.step) for one in trained], History(one.row for one in trained)


def _trainer(batches: Any, every: int, directory: Path | None, progress: Progress) -> Callable[..., dict[int, Trained]]:
    """train(group, budget, trials, done): the trials of a group trained up to this step, from where they are."""
    batch, near, told = batches(0), resident(batches), ("",)
    if directory:
        told = (repr(batches), digest(batches.examples)) if isinstance(batches, Batches) else ("", digest(batch))

    def train(group: Group, budget: int, trials: Sequence[Trial], done: dict[int, Trained]) -> dict[int, Trained]:
        before = [done[place] for place in group.places if place in done]
        start = group.joined([one.run for one in before]) if before else group.start(batch)
        name, where = "", {}
        if directory:
            name = f"{budget:08}_{group.fingerprint(batch, every, before[0].name if before else None, *told)}"
            where = {"directory": directory / name, "keep": 1}
        try:
            runs, _ = fit(
                group.step(), start, group.near(near), steps=budget, every=every, progress=Inner(progress), **where
            )
        except StoppedError as stopped:
            progress.note(str(stopped))
            raise
        found = zip(group.places, group.each(runs), group.measured(runs))
        return {place: Trained(run, _row(trials[place], run, own), name) for place, run, own in found}

    return train


def _row(trial: Trial, run: Run, found: dict[str, Any]) -> dict[str, Any]:
    return trial | checked(trial, {"step": int(run.step)} | found)


def _best(done: dict[int, Trained], places: Sequence[int], by: str, mode: str) -> int:
    return survivors(_sizes(done, places, by, mode), len(places))[0]


def _sizes(done: dict[int, Trained], places: Sequence[int], by: str, mode: str) -> dict[int, float]:
    """What is to be small, of the trials at these places; NaN for what is not finite, so that it never leads."""
    sign = 1 if mode == "min" else -1
    values = {place: done[place].row[by] for place in places}
    return {place: sign * value if math.isfinite(value) else math.nan for place, value in values.items()}


def _require_column(by: str, groups: Sequence[Group], batch: Any) -> None:
    """Trace every program before any is trained; raise ValueError unless each gives a number of this name."""
    for group in groups:
        columns = group.columns(batch)
        if by not in columns or columns[by].shape != ():
            raise ValueError(
                f"no number {by!r} in the rows of this experiment; they hold {', '.join(columns)}: "
                "let measure(state) give it, or give another by="
            )


def _budgets(trials: Sequence[Trial], steps: int | Sequence[int], mode: str, eta: int) -> list[int]:
    """The numbers of steps, one after the other, if all that is given can be a sweep."""
    budgets = [steps] if isinstance(steps, int) else list(steps)
    if not names_of(trials) or not budgets or budgets != sorted(set(budgets)) or budgets[0] < 1:
        raise ValueError(f"a sweep has trials, and steps >= 1 that rise, got {len(trials)} trials and steps {steps}")
    if mode not in ("min", "max") or eta < 2:
        raise ValueError(f"mode must be 'min' or 'max' and eta at least 2, got {mode!r} and {eta}")
    return budgets
