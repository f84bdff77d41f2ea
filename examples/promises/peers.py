"""The figures of other libraries, measured in the same way as ours: damaged files and killed saves."""

import importlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

from examples.promises.flips import WRONG, damaged
from examples.promises.forks import in_fork
from examples.promises.interrupted import interrupted
from examples.promises.savers import SAVERS, Saver

HEAD = (
    "| | version | flipped bits: silently wrong | cuts: silently wrong "
    "| killed at random instants: nothing loads | killed at system calls: nothing loads |"
)


def measured(name: str, folder: Path, trials: int, kills: int, size: int) -> dict[str, Any]:
    """Of one way to save, in a fork that has imported its package and said nothing."""
    return in_fork(lambda: _measured(SAVERS[name], folder, trials, kills, size, folder / "log"))


def _measured(saver: Saver, folder: Path, trials: int, kills: int, size: int, log: Path) -> dict[str, Any]:
    folder.mkdir(parents=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    importlib.import_module(saver.package)
    for part in ("damaged", "killed"):
        (folder / part).mkdir()
    found = {"version": version(saver.package)}
    found |= interrupted(saver, folder / "killed", kills, size)
    return found | damaged(saver, folder / "damaged", trials)


def version(package: str) -> str:
    """Of the distribution that a module came with."""
    if package == "fdl":
        return importlib.import_module("fdl.version").__version__
    return importlib.metadata.version(package.replace("orbax.checkpoint", "orbax-checkpoint"))


def table(systems: dict[str, Any]) -> list[str]:
    """The lines of the page."""
    rows = [HEAD, "|---|---|---|---|---|---|"]
    for name in SAVERS:
        found = systems[name]
        cells = [f"{found[how][WRONG]} of {sum(found[how].values())}" for how in ("flip", "cut")]
        cells += [_lost(found["instants"]), _lost(found["calls"]) if found["calls"] else "not measured"]
        rows.append(f"| {name} | {found['version']} | {' | '.join(cells)} |")
    return rows


def _lost(outcomes: dict[str, int]) -> str:
    return f"{outcomes['lost'] + outcomes['mixed']} of {sum(outcomes.values())}"


def holds(found: dict[str, Any]) -> bool:
    """What is asked of ours."""
    killed = [found["instants"], found["calls"] or {}]
    silent = found["flip"][WRONG] + found["cut"][WRONG]
    return silent == 0 and all(outcomes.get(bad, 0) == 0 for outcomes in killed for bad in ("lost", "mixed"))
