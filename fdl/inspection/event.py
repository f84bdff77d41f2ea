"""The calls of the parts of a model in the order in which they end, forward and backward."""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

AFTER = np.inf  # after every repetition


class Event(NamedTuple):
    """One call of one part, in one repetition: when it began and ended in the trace, and what was measured."""

    path: str
    call: int
    repetition: tuple[int, ...]
    start: int
    stop: int
    forward: Any
    backward: Any


def events(seen: Mapping[str, tuple], gradients: Mapping[str, tuple] | None = None) -> list[Event]:
    """The calls in the order in which they end; with the gradients of sinks, in which their backward passes end.

    seen holds for every call {"span": (start, stop), "measured": tree}, with leading axes inside `repeat`.
    """
    found = []
    seen, gradients = jax.device_get((seen, gradients))
    for path, calls in seen.items():
        for n, record in enumerate(calls):
            starts, stops = record["span"]
            for place in np.ndindex(starts.shape):
                at = lambda tree, place=place: jax.tree.map(lambda leaf: leaf[place], tree)
                back = at(gradients[path][n]) if gradients else None
                start, stop = int(starts[place]), int(stops[place])
                found.append(Event(path, n, place, start, stop, at(record["measured"]), back))
    spans = {(event.path, event.start): event for event in found}.values()
    around = {(e.path, e.start): [a for a in spans if a.start <= e.start and e.stop <= a.stop] for e in spans}
    return sorted(found, key=lambda event: _time(event, around[event.path, event.start], gradients is not None))


def _time(event: Event, around: list[Event], backward: bool) -> tuple:
    """When a call ends: by the trace, and inside a part that repeats by repetition first."""
    chain = sorted(around, key=lambda outer: outer.start)  # outer before inner; the last is the part itself
    when = lambda e: -e.start if backward else e.stop
    time: list[float] = []
    for outer, inner in itertools.pairwise(chain):
        loops = slice(len(outer.repetition), len(inner.repetition))
        if event.repetition[loops]:
            time += [when(outer), *(-i if backward else i for i in event.repetition[loops])]
    return *time, when(event), AFTER
