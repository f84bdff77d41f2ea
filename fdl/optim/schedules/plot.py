"""A schedule as a picture: of characters, or of lines."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fdl.optim.schedules.standard import require_steps
from fdl.optim.transform import Schedule


def plot_schedule(schedule: Schedule, steps: int, *, width: int = 60, height: int = 8) -> str:
    """The first so many values as text: the highest row is the largest value drawn, the lowest the smallest."""
    require_steps("steps", steps)
    require_steps("width", width)
    require_steps("height", height)
    values = _values(schedule, np.linspace(0, steps - 1, width).round())
    low, high = values.min(), values.max()
    rows = np.rint((values - low) / (high - low or 1) * (height - 1))
    labels = {height - 1: f"{high:.3g}", 0: f"{low:.3g}"}
    margin = max(map(len, labels.values()))
    lines = [
        f"{labels.get(row, ''):>{margin}} |{''.join('*' if r == row else ' ' for r in rows)}".rstrip()
        for row in reversed(range(height))
    ]
    foot = f"{'':>{margin}} 0{f'step {steps - 1}':>{width}}"
    return "\n".join([*lines, foot])


def draw_schedule(
    schedule: Schedule | Mapping[str, Schedule], steps: int, axes: Any = None, *, points: int = 1000
) -> Any:
    """The first so many values as a line on these axes of matplotlib, or on those of a new figure; returns the axes.

    Schedules by name are drawn together.  draw_schedule(...).figure.savefig(path) keeps the picture; needs matplotlib.
    """
    require_steps("steps", steps)
    require_steps("points", points)
    from matplotlib.figure import Figure

    axes = Figure(layout="constrained").subplots() if axes is None else axes
    at = np.unique(np.linspace(0, steps - 1, min(points, steps)).round())
    for name, each in (schedule if isinstance(schedule, Mapping) else {repr(schedule): schedule}).items():
        axes.plot(at, _values(each, at), label=name)
    axes.set(xlabel="step", ylabel="value", xlim=(0, max(steps - 1, 1)))
    axes.legend()
    return axes


def _values(schedule: Schedule, at: np.ndarray) -> np.ndarray:
    value = lambda step: jnp.asarray(schedule(step), float)
    return np.asarray(jax.vmap(value)(jnp.asarray(at.astype(np.int32))))
