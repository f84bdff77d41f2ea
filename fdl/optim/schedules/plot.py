"""A schedule as a picture of characters."""

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
    at = np.linspace(0, steps - 1, width).round().astype(np.int32)
    values = np.asarray(jax.vmap(lambda step: jnp.asarray(schedule(step), float))(jnp.asarray(at)))
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
