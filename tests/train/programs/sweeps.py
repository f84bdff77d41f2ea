"""A sweep killed at any of its events, in forks, on eight devices; and one on one of them.  Prints what it found."""

import io
import json
import random
import tempfile
from functools import partial
from pathlib import Path

import jax

from examples.promises.lives import live
from fdl import train

TRIALS = train.grid(peak=[0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 1e38, 0.3, 0.6])  # ten: two to a device, some twice


class Lines(train.Progress):
    """Lines that are events."""

    def __init__(self, reached):
        super().__init__(io.StringIO())
        self.reached = reached

    def note(self, text):
        self.reached(text)

    def final(self, row):
        self.reached(f"row {row}")


def sweep(folder, steps=(4, 12), **how):
    """The table that a sweep leaves."""
    from tests.train.test_sweep import BATCHES, experiment  # which makes arrays: in the fork alone

    train.sweep(experiment, TRIALS, BATCHES, steps, every=4, eta=5, directory=folder, **how)
    return (folder / "metrics.csv").read_text()


def first(folder, reached):
    """What is to be come to: cut by nothing; and exact, on eight devices and on one of them."""
    quiet = train.Progress(io.StringIO())
    found = {"whole": sweep(folder / "whole", progress=Lines(reached)), "devices": jax.device_count()}
    found["exact"] = sweep(folder / "exact", [4], exact=True, progress=quiet)
    found["exact on one"] = sweep(folder / "one", [4], exact=True, devices=jax.devices()[:1], progress=quiet)
    (folder / "first.json").write_text(json.dumps(found))


def cut(folder, reached):
    """The same, to be killed."""
    sweep(folder, progress=Lines(reached))


def main():
    """A life that is killed, one that goes on and is killed, one that comes to its end."""
    folder, chance = Path(tempfile.mkdtemp()), random.Random(0)
    _, events = live(partial(first, folder), None, folder / "log")
    found = json.loads((folder / "first.json").read_text())
    last = max(i for i, event in enumerate(events) if event.startswith("row "))  # of the sweep that is cut by nothing
    own, kills, held = folder / "cut", 0, []
    for ends in (chance.randint(last // 3, last // 2), chance.randint(last // 3, last // 2), None):
        ended, _ = live(partial(cut, own), ends, folder / "log")
        kills += not ended
        held.append(len(list(own.glob("*/step_*"))))
    print(json.dumps(found | {"cut": (own / "metrics.csv").read_text(), "kills": kills, "held": held}))


main()
