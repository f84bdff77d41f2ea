"""Hooks for `fit`: plain functions hook(state, history) -> (state, entries), called at every report.

The last row of the history is the report itself; entries are added to it.  What a hook remembers it reads from the
rows, which are saved, so that a run that was cut goes on as if it had not been.  A true entry "stop" ends the run.

What needs no hook: the average of parameters is `optim.average_params` in the chain; layers frozen until a step are
`optim.groups({"body/**": optim.when(adam(1e-4), lambda step: step >= 1000, stop=True), ...})`, exact to the step.
"""

import math
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fdl.optim import Schedule, averaged, hyper_values, set_hyper
from fdl.train import checkpoint
from fdl.train.fit import Hook
from fdl.train.history import History

Measure = Callable[[Any], dict[str, Any]]


def every(times: int, hook: Hook) -> Hook:
    """The hook at every so many reports."""
    if times < 1:
        raise ValueError(f"a hook is called every 1 or more reports, got {times}")
    return lambda state, history: hook(state, history) if len(history) % times == 0 else (state, {})


def measured(measure: Measure) -> Hook:
    """Entries measure(state), such as an evaluation on another set: every(5, measured(lambda s: evaluate(s, test)))."""
    return lambda state, history: (state, measure(state))


def of_average(measure: Measure) -> Measure:
    """What the measure gives for the averaged parameters (`optim.averaged`), each name with "average " before it."""

    def measure_average(state: Any) -> dict[str, Any]:
        entries = measure(state._replace(params=averaged(state.opt_state, state.params)))
        return {f"average {name}": value for name, value in entries.items()}

    return measure_average


def learning_rate(schedule: Schedule | None = None) -> Hook:
    """The entry "learning_rate": the schedule at this step, or what `optim.hyper` holds under that name."""

    def log(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        value = schedule(state.step) if schedule else hyper_values(state.opt_state)["learning_rate"]
        return state, {"learning_rate": float(value)}

    return log


def throughput(**per_step: float) -> Hook:
    """Entries such as "tokens/s", of how much a step handles: throughput(tokens=batch * context)."""

    def speed(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        steps = history[-1]["step"] - (history[-2]["step"] if len(history) > 1 else 0)
        return state, {f"{name}/s": steps * amount / history[-1]["seconds"] for name, amount in per_step.items()}

    return speed


def plateau(watch: str, *, patience: int, factor: float = 0.1, low: float = 0.0, mode: str = "min") -> Hook:
    """Multiply the learning rate by `factor` after `patience` reports without a better value of `watch`.

    They are counted from the best row or the last cut.  The rate is the one that `optim.hyper(optimizer,
    "learning_rate")` keeps in the state; the entry "learning_rate" says what it is from here on.  It never falls below
    low.  For the training loss alone `optim.reduce_on_plateau` does the same inside the step.
    """

    def judge(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        rate = float(hyper_values(state.opt_state)["learning_rate"])
        cuts = [at for at, row in enumerate(history) if row.get("rate cut")]
        since = min(history.rows_since_best(watch, mode), len(history) - 1 - max(cuts, default=-1))
        if since < patience:
            return state, {"learning_rate": rate}
        rate = max(rate * factor, low)
        return state._replace(opt_state=set_hyper(state.opt_state, learning_rate=rate)), {
            "learning_rate": rate,
            "rate cut": 1,
        }

    return judge


def set_at(step: int, **values: float) -> Hook:
    """Hyper-parameters in the state (`optim.hyper`) set to these values at the first report from this step on."""

    def change(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        before = history[-2]["step"] if len(history) > 1 else -1
        due = before < step <= history[-1]["step"]
        return (state._replace(opt_state=set_hyper(state.opt_state, **values)), dict(values)) if due else (state, {})

    return change


def spikes(watch: str = "loss", *, window: int = 20, limit: float = 6.0) -> Hook:
    """Warn where the value is more than `limit` spreads above the median of the `window` rows before; entry "spike".

    The spread is the median distance from the median, times 1.4826, which is the standard deviation of a normal law.
    It needs 5 rows before it judges.
    """

    def look(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        before = [row[watch] for row in history[-1 - window : -1] if math.isfinite(row.get(watch, math.nan))]
        value = history[-1][watch]
        if len(before) < 5:
            return state, {}
        middle = statistics.median(before)
        spread = 1.4826 * statistics.median(abs(v - middle) for v in before)
        spike = not value <= middle + limit * max(spread, 1e-3 * abs(middle))
        if spike:
            warnings.warn(
                f"{watch} is {value:.4g} at step {history[-1]['step']}, of {middle:.4g} ± {spread:.2g} in the "
                f"{len(before)} rows before",
                stacklevel=2,
            )
        return state, {"spike": 1} if spike else {}

    return look


def keep_best(directory: str | Path, watch: str, *, best: int = 1, mode: str = "min") -> Hook:
    """Save the state into the directory at the `best` reports with the best values of `watch`, and keep these alone."""
    if best < 1:
        raise ValueError(f"best must be at least 1, got {best}")

    def keep(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        steps = {row["step"] for row in history.ranked(watch, mode)[:best]}
        if int(state.step) in steps:
            checkpoint.save(directory, state, metadata=dict(history[-1]), keep=steps)
        return state, {}

    return keep


def samples(directory: str | Path, make: Callable[[Any], dict[str, Any]]) -> Hook:
    """Write the arrays make(state) as directory/step_00001234.npz: pictures, sentences, whatever the model draws."""
    folder = Path(directory)

    def write(state: Any, history: History) -> tuple[Any, dict[str, Any]]:
        arrays = jax.tree.map(np.asarray, make(state))
        if jax.process_index() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(folder / f"step_{int(state.step):08d}.npz", **arrays)
        return state, {}

    return write
