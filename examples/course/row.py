"""What every file of the course declares: its rows of the lecture, its figures, its budget, and how it is run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np


class Figure(NamedTuple):
    """One number that a run returns under this name; the mean over seeds is to lie in low … high, both included.

    what says what it is and in which unit, reference what the paper or another source has and whose figure it is.
    Without low and high the number is shown and nothing is asked of it.  on_gpu are the bounds for a run on a GPU,
    which may go on for longer, where they are others.
    """

    name: str
    what: str
    reference: str = ""
    low: float | None = None
    high: float | None = None
    on_gpu: tuple[float | None, float | None] | None = None

    def holds(self, value: float) -> bool:
        """Whether the value is what was asked for; NaN never is."""
        above = self.low is None or value >= self.low
        return bool(value == value and above and (self.high is None or value <= self.high))

    @property
    def asked(self) -> str:
        """The bounds as text."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g}" if self.low == self.high else f"{self.low:g} … {self.high:g}"
        if self.low is not None:
            return f"≥ {self.low:g}"
        return f"≤ {self.high:g}" if self.high is not None else ""


class Outcome(NamedTuple):
    """What a run of one seed returns: its figures by name, arrays to draw from, and how many steps it trained."""

    figures: dict[str, float]
    arrays: Mapping[str, np.ndarray] = MappingProxyType({})
    steps: int = 0


class Row(NamedTuple):
    """A row of the lecture, or a tight group of them, as a program.

    run(seed, folder) computes one seed; what takes minutes keeps its checkpoints in the folder and goes on from them.
    draw(arrays) makes a matplotlib figure of the arrays of the first seed.  budget is in seconds for one seed on two
    cores.  The idea is the docstring of the file.
    """

    rows: tuple[str, ...]
    title: str
    figures: tuple[Figure, ...]
    run: Callable[[int, Path], Outcome]
    budget: float
    seeds: tuple[int, ...] = (0,)
    draw: Callable[[dict[str, np.ndarray]], Any] | None = None
    note: str = ""  # where a figure misses or a choice was made: what was tried

    def on(self, backend: str) -> "Row":
        """The row as it is asked of a run on this backend of JAX."""
        if backend != "gpu":
            return self
        asked = [figure.on_gpu or (figure.low, figure.high) for figure in self.figures]
        return self._replace(figures=tuple(f._replace(low=a, high=b) for f, (a, b) in zip(self.figures, asked)))
