"""The search for hyper-parameters: which trials to make, in which order, and a table of what they gave.

A trial is a dict of hyper-parameters by name; what it means to try one is a function of the caller's.  Where that is to
train, `sweep` makes all trials of one program at once.
"""

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from zlib import crc32

import numpy as np

from fdl.train.history import History

Trial: TypeAlias = dict[str, Any]
Space: TypeAlias = Sequence | Callable[[float], Any]
Advance: TypeAlias = Callable[[Trial, int, Any], tuple[dict[str, Any], Any]]


def grid(**choices: Sequence) -> list[Trial]:
    """Every combination of the choices, once, in the order of nested loops: the last name changes fastest."""
    for name, each in choices.items():
        _require_choices(name, each)
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


def sample(count: int, seed: int, **spaces: Space) -> list[Trial]:
    """Random trials.  A space is a sequence of equally likely choices or a function of u in [0, 1), as `between` makes.

    Trial i depends on the seed, on i and on its own names alone: asking for more trials leaves the first as they were,
    and one more name leaves the others.  Bergstra & Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    for name, space in spaces.items():
        if not callable(space):
            _require_choices(name, space)
    draw = lambda i, name: np.random.default_rng([seed, i, crc32(name.encode())]).random()
    return [{name: _value(space, draw(i, name)) for name, space in spaces.items()} for i in range(count)]


def between(low: float, high: float, *, log: bool = False) -> Callable[[float], float]:
    """The space from low to high: every number as likely, or with log every factor, which suits rates."""
    if not low < high or (log and low <= 0):
        raise ValueError(f"a space must have low < high, with log low > 0 too, got {low} and {high}")
    return lambda u: low * (high / low) ** u if log else low + (high - low) * u


def columns(trials: Sequence[Trial]) -> dict[str, list]:
    """The trials of a sweep by name: {"learning_rate": [0.1, 0.3], ...}.  Raises ValueError if their names differ."""
    if not trials or any(trial.keys() != trials[0].keys() for trial in trials):
        raise ValueError("columns takes at least one trial, all with the same names")
    return {name: [trial[name] for trial in trials] for name in trials[0]}


def search(
    evaluate: Callable[[Trial], dict[str, Any]],
    trials: Sequence[Trial],
    *,
    table: str | os.PathLike | None = None,
    map: Callable[..., Iterable] = map,
) -> History:
    """The rows trial | evaluate(trial), in the order of the trials; `.best("loss")` is the best of them.

    With a table, a path, all rows so far are written to it as JSON after each trial, and trials that it holds are not
    made again: a search that was cut goes on.  map may be that of a pool of processes.  The rows, and the table bit by
    bit, are the same however they came about, if evaluate is a function of its trial.
    Raises ValueError for a trial that is there twice, or a result with the name of a hyper-parameter.
    """
    names = names_of(trials)
    done = _read(Path(table)) if table else {}
    rest = [trial for trial, name in zip(trials, names) if name not in done]
    for trial, found in zip(rest, map(evaluate, rest)):
        done[_name(trial)] = {"trial": trial, "found": checked(trial, found)}
        if table:
            first = {name: done[name] for name in names if name in done}
            _write(Path(table), list((first | done).values()))
    return History(done[name]["trial"] | done[name]["found"] for name in names)


def successive_halving(
    advance: Advance, trials: Sequence[Trial], budgets: Sequence[int], *, eta: int = 3, by: str = "loss"
) -> History:
    """Give each trial the first budget, the best 1 / eta of them the next, and so on; the lowest `by` is best.

    advance(trial, budget, state) -> (results, state) trains on, up to this budget in all, from the state that it
    returned before, None at first.  Rows are trial | {"budget": ...} | results.  NaN loses against every number, and
    of equals the earlier stays.  Jamieson & Talwalkar 2016, https://arxiv.org/abs/1502.07943
    """
    if list(budgets) != sorted(set(budgets)) or not budgets or not trials:
        raise ValueError(f"budgets must rise, and there must be a trial, got {list(budgets)} for {len(trials)} trials")
    rows, states, left = History(), [None] * len(trials), list(range(len(trials)))
    for budget in budgets:
        losses = {}
        for i in left:
            found, states[i] = advance(trials[i], budget, states[i])
            rows.append(trials[i] | {"budget": budget} | checked(trials[i], found))
            losses[i] = rows[-1][by]
        left = survivors(losses, eta)
    return rows


def survivors(losses: dict[int, float], eta: int) -> list[int]:
    """The 1 / eta of the trials with the lowest losses, at least one; NaN is never lower, of equals the earlier is."""
    order = sorted(losses, key=lambda i: math.inf if math.isnan(losses[i]) else losses[i])
    return sorted(order[: max(1, len(losses) // eta)])


def brackets(most: int, eta: int = 3) -> list[tuple[int, list[int]]]:
    """Hyperband's brackets, (trials, budgets of their rungs): from many short ones to a few that get the most at once.

    Li et al. 2018, algorithm 1, https://jmlr.org/papers/v18/16-558.html
    """
    if most < 1 or eta < 2:
        raise ValueError(f"most must be at least 1 and eta at least 2, got {most} and {eta}")
    last = next(s for s in itertools.count() if eta ** (s + 1) > most)
    count = lambda s: -(-(last + 1) * eta**s // (s + 1))
    return [(count(s), [most // eta**i for i in range(s, -1, -1)]) for s in range(last, -1, -1)]


def hyperband(
    advance: Advance, draw: Callable[[int], list[Trial]], most: int, *, eta: int = 3, by: str = "loss"
) -> History:
    """Successive halving in all `brackets`, since nobody knows how early a trial tells; the rows of all of them.

    draw(count) gives so many trials: lambda count: sample(count, seed, **spaces).  advance as in `successive_halving`.
    """
    plan = brackets(most, eta)
    trials, rows = draw(sum(count for count, _ in plan)), History()
    for count, budgets in plan:
        rows += successive_halving(advance, trials[:count], budgets, eta=eta, by=by)
        trials = trials[count:]
    return rows


def _value(space: Space, u: float) -> Any:
    return space(u) if callable(space) else space[int(u * len(space))]


def _require_choices(name: str, choices: Any) -> None:
    if isinstance(choices, str) or not isinstance(choices, Sequence) or not choices:
        raise ValueError(f"{name} must be a sequence of choices, at least one, got {choices!r}")


def names_of(trials: Sequence[Trial]) -> list[str]:
    """What tells the trials apart, as text.  Raises ValueError for one that is there twice."""
    names = [_name(trial) for trial in trials]
    if len(set(names)) < len(names):
        raise ValueError(f"the trial {next(name for name in names if names.count(name) > 1)} is there more than once")
    return names


def _name(trial: Trial) -> str:
    return json.dumps(trial, sort_keys=True)


def checked(trial: Trial, found: dict[str, Any]) -> dict[str, Any]:
    """The results as they are read from a table: plain JSON."""
    if both := trial.keys() & found.keys():
        raise ValueError(f"{', '.join(sorted(both))} is the name of a hyper-parameter and of a result")
    return json.loads(json.dumps(found))


def _read(table: Path) -> dict[str, Any]:
    rows = json.loads(table.read_text()) if table.exists() else []
    return {_name(row["trial"]): row for row in rows}


def _write(table: Path, rows: list[Any]) -> None:
    """Written beside and renamed, so that the table is whole at any time."""
    part = table.with_name(table.name + ".part")
    part.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
    part.replace(table)
