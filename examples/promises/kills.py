"""R1: a run that is killed again and again ends with the bits of one that was not."""

import json
import random
from pathlib import Path
from typing import Any

from examples.promises.lives import Reached, live
from examples.promises.systems import SYSTEMS, training
from fdl import train, tree

STEPS_PER_KILL = 3
SAVE_EVERY, REPORT_EVERY = 4, 20
SAVES_PER_LIFE = 4  # at most: the more arrays, the more events has a save


class Steps(train.Progress):
    """Progress whose lines are events."""

    def __init__(self, reached: Reached):
        super().__init__()
        self.reached = reached

    def live(self, row: Any) -> None:
        """A dispatch has ended."""
        self.reached(f"step {row['step']}")

    def final(self, row: Any) -> None:
        """A report."""
        self.reached(f"report {row['step']}")


def life(name: str, steps: int, folder: Path, reached: Reached) -> None:
    """Train until the end, going on from what is there, and leave the digest."""
    step, state, batches = training(SYSTEMS[name], steps)
    options = {"every": REPORT_EVERY, "saving": train.Saving(SAVE_EVERY), "directory": folder / "run"}
    state, history = train.fit(step, state, batches, steps=steps, progress=Steps(reached), **options)
    rows = [{key: row[key] for key in ("step", "loss", "largest")} for row in history]
    (folder / "end.json").write_text(json.dumps({"digest": tree.digest(state), "rows": rows}))


def killed(name: str, kills: int, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Kill a run so many times, a run after the other where one ends before, and compare with an unbroken one."""
    steps, chance = STEPS_PER_KILL * kills, random.Random(f"{name} {seed}")
    found: dict[str, Any] = {"steps": steps, "kills": 0, "inside a save": 0, "resumed": [], "runs": 0, "unequal": 0}
    whole, events = _run_to_its_end(name, steps, folder / "whole", 0, 1, chance, found)
    most = SAVES_PER_LIFE * len(events) * SAVE_EVERY // steps
    while found["kills"] < kills:
        found["runs"] += 1
        end, _ = _run_to_its_end(name, steps, folder / f"run_{found['runs']}", kills, most, chance, found)
        found["unequal"] += end != whole
    return found | {"digest": whole["digest"]}


def _run_to_its_end(
    name: str, steps: int, folder: Path, kills: int, most: int, chance: random.Random, found: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Lives one after the other, each killed at one of its first `most` events while there are kills left.

    What the last one left, and its events.
    """
    folder.mkdir(parents=True)
    resumed: list[int] = []
    while True:
        ends = chance.randint(1, most) if found["kills"] < kills else None
        whole, events = live(lambda reached: life(name, steps, folder, reached), ends, folder / "log")
        if whole:
            found["resumed"] += [resumed] if kills else []
            return json.loads((folder / "end.json").read_text()), events
        found["kills"] += 1
        found["inside a save"] += any((folder / "run").glob(".writing-*"))
        resumed.append(train.checkpoint.latest(folder / "run") or 0)
