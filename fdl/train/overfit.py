"""Before a long run: can it learn one batch by heart?  What cannot has a mistake in it, or a rate that does not fit."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from fdl.data import Batches
from fdl.train.loop import run
from fdl.train.step import Step
from fdl.tree import flatten


class Overfit(NamedTuple):
    """The losses, (steps,), and the paths of the parameters that did not move by a bit."""

    losses: np.ndarray
    unmoved: tuple[str, ...]


class OverfitError(RuntimeError):
    """One batch was not learnt by heart; `found` is what was measured."""

    def __init__(self, message: str, found: Overfit):
        super().__init__(message)
        self.found = found


def overfit_batch(
    step: Step,
    state: Any,
    batches: Batches | Callable[[int], Any],
    steps: int = 200,
    *,
    below: float | None = None,
) -> Overfit:
    """Train a copy of the state on its next batch over and over; the loss must come below a tenth of the first.

    below is another bound, which a loss needs that cannot come to 0 (smoothed labels, penalties) or begins negative.
    Raises OverfitError where the lowest loss of the last tenth of the steps is not below it, NonFiniteError where the
    loss is not finite.
    """
    if steps < 2:
        raise ValueError(f"steps must be at least 2, got {steps}")
    batch = batches(int(state.step))
    copy = jax.tree.map(lambda leaf: leaf.copy(), state)
    before = {path: np.asarray(leaf) for path, leaf in flatten(state.params).items()}
    after, log = run(step, copy, lambda k: batch, steps)
    moved = {path: np.asarray(leaf) for path, leaf in flatten(after.params).items()}
    still = tuple(path for path, leaf in before.items() if np.array_equal(leaf, moved[path]))
    found = Overfit(log["loss"], still)
    first, end = float(found.losses[0]), float(found.losses[-max(steps // 10, 1) :].min())
    if below is None and first <= 0:
        raise ValueError(f"the loss begins at {first:.4g}: say what it must come below, below=")
    bound = first / 10 if below is None else below
    if not end < bound:
        raise OverfitError(_message(first, end, bound, steps, still), found)
    return found


def _message(first: float, end: float, bound: float, steps: int, still: tuple[str, ...]) -> str:
    parts = f"; these parameters never moved: {', '.join(still[:8])}" if still else ""
    more = f" and {len(still) - 8} more" if len(still) > 8 else ""
    return (
        f"one batch was not learnt by heart: the loss went from {first:.4g} to {end:.4g} in {steps} steps, not below "
        f"{bound:.4g}{parts}{more}. Look at the labels of this batch, the learning rate (train.range_test), dropout "
        "and other noise; a loss that cannot come so low needs its own below="
    )
