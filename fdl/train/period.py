"""What was measured since the last report; a checkpoint in between carries it, so that a cut changes no row."""

import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from fdl.data import Batches
from fdl.train.loop import NonFiniteError, dispatches
from fdl.train.progress import Progress
from fdl.train.skipping import SKIPPED
from fdl.train.step import Step


class Period(NamedTuple):
    """Steps taken, seconds they took, and sums of the metrics over the steps that were not skipped."""

    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = {}  # noqa: RUF012  never changed

    def plus(self, metrics: dict[str, np.ndarray], seconds: float) -> "Period":
        """With the metrics of some more steps, each (steps,); those with more axes are left out."""
        rows = {name: values for name, values in metrics.items() if values.ndim == 1}
        taken = rows.get(SKIPPED, np.zeros(1)) == 0
        sums = dict(self.sums)
        for name, values in rows.items():
            counted = values if name == SKIPPED else values[np.broadcast_to(taken, values.shape)]
            sums[name] = sums.get(name, 0.0) + float(np.sum(counted, dtype=np.float64))
        return Period(self.steps + len(next(iter(metrics.values()))), self.seconds + seconds, sums)

    def row(self, step: int, batches: Any) -> dict[str, Any]:
        """Means, seconds and examples a second.  Raises NonFiniteError if every step was skipped."""
        skipped = int(self.sums.get(SKIPPED, 0))
        if self.steps == skipped:
            raise NonFiniteError(step, {SKIPPED: float(skipped)})
        row = {"step": step} | {name: total / (self.steps - skipped) for name, total in self.sums.items()}
        row |= {SKIPPED: skipped} if SKIPPED in self.sums else {}
        speed = {"examples/s": self.steps * batches.batch / self.seconds} if isinstance(batches, Batches) else {}
        return row | {"seconds": self.seconds} | speed


def advance(
    step: Step,
    state: Any,
    batches: Any,
    count: int,
    period: Period,
    progress: Progress,
    after_dispatch: Callable[[], Any],
) -> tuple[Any, Period]:
    """The state `count` steps later and the period with them; less where after_dispatch() says to stop."""
    start = time.perf_counter()
    with closing(dispatches(step, state, batches, count)) as parts:
        for state, metrics in parts:
            now = time.perf_counter()
            period, start = period.plus(metrics, now - start), now
            if int(period.sums.get(SKIPPED, 0)) < period.steps:
                progress.live(period.row(int(state.step), batches))
            if after_dispatch():
                break
    return state, period
