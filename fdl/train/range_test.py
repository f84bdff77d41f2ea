"""The learning-rate range test: a short run in which the rate grows, to see where a loss falls and where it breaks."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.data import Batches
from fdl.optim import set_hyper
from fdl.train.loop import run
from fdl.train.step import Step

BROKEN = 4.0  # times the lowest loss so far


class RangeTest(NamedTuple):
    """The rates, each (steps,), the losses there, the rate to begin with, and where the smoothed loss was lowest.

    Where the loss broke the test ends, so there may be fewer steps than asked for.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float
    lowest: float


def range_test(
    step: Step,
    state: Any,
    batches: Batches | Callable[[int], Any],
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    name: str = "learning_rate",
) -> RangeTest:
    """Train a copy of the state while the rate grows by a constant factor from low to high.

    The rate must lie in the optimizer's state, see `optim.hyper`; name is another such number, as the peak of a
    schedule.  The suggestion is the rate at which the smoothed loss falls fastest by the logarithm of the rate, before
    it is lowest; from somewhat above `lowest` on it breaks.  Choose well below that.
    Raises ValueError where the loss never falls, TreeError where the state does not hold the name; warns where it
    still falls at high.  Smith 2015, section 3.3, https://arxiv.org/abs/1506.01186
    """
    if not 0 < low < high or steps < 10:
        raise ValueError(f"a range test has 0 < low < high and 10 or more steps, got {low}, {high} and {steps}")
    first = state.step.copy()

    def ramped(carried, batch):
        part = (carried.step - first).astype(float) / (steps - 1)
        rate = low * jnp.exp(part * np.log(high / low))
        after, metrics = step.pure(set_hyper(carried, **{name: rate}), batch)
        return after, {"rate": rate, "value": metrics["loss"]}  # not "loss", which would end the run where it breaks

    _, log = run(Step(ramped), jax.tree.map(lambda leaf: leaf.copy(), state), batches, steps)
    return read_range_test(log["rate"], log["value"])


def read_range_test(rates: np.ndarray, losses: np.ndarray) -> RangeTest:
    """What a suggestion follows from: rates that grow by a constant factor, and the losses there, (steps,) each."""
    asked, kept = len(losses), _until_broken(losses)
    rates, losses = rates[:kept], losses[:kept]
    smooth = _smoothed(losses)
    bottom = int(smooth.argmin())
    if bottom < 2:
        raise ValueError(
            f"the loss never fell: {losses[0]:.4g} at a rate of {rates[0]:.2g}, {losses[-1]:.4g} at {rates[-1]:.2g}; "
            "begin lower (low=), or see whether the loss falls at all (train.overfit_batch)"
        )
    if bottom == asked - 1:
        warnings.warn(f"the loss still falls at a rate of {rates[-1]:.2g}: go higher (high=)", stacklevel=3)
    steepest = int(np.gradient(smooth)[: bottom + 1].argmin())
    return RangeTest(rates, losses, float(rates[steepest]), float(rates[bottom]))


def draw_range_test(test: RangeTest, axes: Any = None) -> Any:
    """The losses over the rates on these axes of matplotlib, or on those of a new figure; returns the axes."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(4.8, 3.2), layout="constrained").subplots() if axes is None else axes
    axes.semilogx(test.rates, test.losses, ".", color="0.7", label="loss")
    axes.semilogx(test.rates, _smoothed(test.losses), label="smoothed")
    axes.axvline(test.suggestion, color="C1", label=f"suggestion {test.suggestion:.2g}")
    axes.axvline(test.lowest, color="C3", linestyle=":", label=f"lowest {test.lowest:.2g}")
    axes.set(xlabel="rate", ylabel="loss")
    axes.legend()
    return axes


def _until_broken(losses: np.ndarray) -> int:
    """How many losses there are before one is not finite, or many times the lowest before it."""
    lowest = np.minimum.accumulate(np.where(np.isfinite(losses), losses, np.inf))
    broken = ~np.isfinite(losses) | (losses > BROKEN * np.abs(lowest))
    return int(broken.argmax()) if broken.any() else len(losses)


def _smoothed(losses: np.ndarray) -> np.ndarray:
    """Weighted means of neighbours, over about a twentieth of all: they lag behind in neither direction."""
    width = max(len(losses) / 20, 1.0)
    apart = np.arange(len(losses))[:, None] - np.arange(len(losses))[None, :]
    weights = np.exp(-0.5 * (apart / width) ** 2)
    return weights @ losses / weights.sum(1)
