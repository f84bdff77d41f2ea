"""How a loss falls with size: power laws."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import require_shape
from fdl.optim import levenberg_marquardt


class PowerLaw(NamedTuple):
    """y = scale · x^-exponent + floor, and R² of its logarithms."""

    scale: float
    exponent: float
    floor: float
    r_squared: float

    def __call__(self, x: Any) -> Any:
        """What the law says of these sizes."""
        return self.scale * np.asarray(x, float) ** -self.exponent + self.floor


def fit_power_law(x: Any, y: Any, *, floor: bool = False) -> PowerLaw:
    """The power law with the least squared error of log y, of positive x and y, each (n,).

    Without a floor it is the straight line through the logarithms.  With one, what y falls to, there are three numbers
    to find, by Levenberg-Marquardt from several floors.  Kaplan et al. 2020, https://arxiv.org/abs/2001.08361
    Raises ValueError for fewer points than numbers to find, and for values that are not positive.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    require_shape(x, None, name="x")
    require_shape(y, len(x), name="y")
    if len(x) < 2 + floor or not (x > 0).all() or not (y > 0).all():
        raise ValueError(f"a power law needs {2 + floor} or more positive points, got x {x} and y {y}")
    exponent, level = np.polyfit(np.log(x), np.log(y), 1)
    line = PowerLaw(float(np.exp(level)), -float(exponent), 0.0, 0.0)
    best = _above_a_floor(x, y) if floor else line
    left = np.sum(np.square(np.log(best(x)) - np.log(y)))
    return best._replace(r_squared=1 - float(left / np.sum(np.square(np.log(y) - np.log(y).mean()))))


def _above_a_floor(x: np.ndarray, y: np.ndarray) -> PowerLaw:
    """The same with a floor: a line for the logarithms above each of several floors, and from there on all at once."""
    unit = np.exp(np.log(x).mean())  # fits begin well scaled

    def start(share):
        floor = share * y.min()
        slope, level = np.polyfit(np.log(x / unit), np.log(y - floor), 1)
        return {"scale": level, "exponent": np.log(max(-slope, 1e-3)), "floor": np.log(floor)}

    at, measured = jnp.asarray(np.log(x / unit), float), jnp.asarray(np.log(y), float)

    def residual(p):
        return jnp.logaddexp(p["scale"] - jnp.exp(p["exponent"]) * at, p["floor"]) - measured

    starts = jax.tree.map(lambda *values: jnp.asarray(values, float), *map(start, (0.05, 0.3, 0.6, 0.9)))
    found = jax.vmap(lambda start: levenberg_marquardt(residual, start, max_steps=300))(starts)
    p = {name: float(values[jnp.argmin(found.cost)]) for name, values in found.params.items()}
    exponent = float(np.exp(p["exponent"]))
    return PowerLaw(float(np.exp(p["scale"])) * float(unit) ** exponent, exponent, float(np.exp(p["floor"])), 0.0)
