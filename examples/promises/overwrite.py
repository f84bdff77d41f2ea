"""R2 and R3: a save that is killed at any of its system calls leaves the old state or the new one, whole."""

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from examples.promises.lives import live
from fdl import train
from fdl.train.checkpoint import folders, manifest
from fdl.train.checkpoint.reading import read


class Case(NamedTuple):
    """A save of `step` over a good checkpoint of step 1."""

    step: int
    keep: int | Collection[int]


LEFT = ("old", "new", "lost or mixed")
CASES = {  # the first puts nothing at risk
    "a later step": Case(2, 3),
    "a later step, only the newest kept": Case(2, 1),
    "the same step again": Case(1, 3),
    "the same step again, only the newest kept": Case(1, 1),
}


def state(step: int, value: int, size: int) -> train.TrainState:
    """A state of this many numbers, all alike, which asks for no device."""
    return train.TrainState(
        step=np.int32(step),  # type: ignore[arg-type]
        key=(),  # type: ignore[arg-type]
        params={"a": np.full(size, value, np.float32), "b": np.full((2, size // 2), value, np.float16)},
        state={},
        opt_state=(),
    )


def save(directory: Path, case: Case, value: int, size: int) -> None:
    """Save."""
    manifest.environment = dict  # what it asks JAX for takes longer than the save
    train.checkpoint.save(directory, state(case.step, value, size), keep=case.keep)


def overwritten(kills: int, folder: Path, size: int = 1 << 10) -> dict[str, Any]:
    """Kill saves over a good checkpoint at each of their events in turn; count what loads after.

    A plain save once at each, those that put the old checkpoint at risk `kills` times together.
    """
    found: dict[str, Any] = {
        name: {"events": _events(case, folder)} | dict.fromkeys(LEFT, 0) for name, case in CASES.items()
    }
    plain, *risky = [[(name, event) for event in range(1, found[name]["events"] + 1)] for name in CASES]
    points = [*plain, *itertools.islice(itertools.cycle(itertools.chain(*risky)), kills)]
    for trial, (name, event) in enumerate(points):
        found[name][_killed(CASES[name], event, folder / f"trial_{trial}", size)] += 1
    return {"kills": len(points), "cases": found}


def _killed(case: Case, event: int, directory: Path, size: int) -> str:
    """What a save leaves that is killed at this event; what else it left the next save must clean."""
    _prepare(directory, size)
    log = directory.parent / "log"
    whole, _ = live(lambda reached: save(directory, case, 2, size), event, log)
    assert not whole, "the kill came too late"
    judged = _judged(directory)
    live(lambda reached: save(directory, case._replace(step=3), 3, size), None, log)
    left = [path.name for path in directory.iterdir() if not path.name.startswith("step_")]
    assert not left, f"what a kill left was not cleaned: {left}"
    return judged


def _events(case: Case, folder: Path) -> int:
    """How many events this save has."""
    directory = folder / f"dry_{case.step}_{case.keep}"
    _prepare(directory, 1 << 10)
    _, events = live(lambda reached: save(directory, case, 2, 1 << 10), None, folder / "log")
    return len(events)


def _prepare(directory: Path, size: int) -> None:
    live(lambda reached: save(directory, Case(1, 3), 1, size), None, directory.parent / "log")


def _judged(directory: Path) -> str:
    """Which state the newest whole checkpoint holds."""
    for path in folders.newest_first(directory):
        try:
            _, arrays = read(path)
        except train.checkpoint.CheckpointError:
            continue
        values = {float(value) for array in (arrays["params/a"], arrays["params/b"]) for value in np.unique(array)}
        return {frozenset({1.0}): "old", frozenset({2.0}): "new"}.get(frozenset(values), "lost or mixed")
    return "lost or mixed"
