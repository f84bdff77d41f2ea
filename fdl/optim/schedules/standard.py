"""Schedules: pure functions step -> value that know the call that made them.

The first update sees step 0.  A schedule that ends keeps its last value.  Steps are counted as integers and turned into
floating point last, so that a schedule is as exact after 10^9 steps as float32 can be.

Any other function of the step is a schedule too.  Here are the families; in `phases` what is made of several phases.
Values may be arrays, as `hyper` makes of what is to be swept; counts of steps are known before tracing.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.optim.transform import Schedule, require_constant
from fdl.recipe import Function, recipe

Number: TypeAlias = float | jax.Array

schedule = recipe(Function)
"""Decorate a constructor of schedules: what it makes remembers the constructor and its arguments."""


@schedule
def constant(value: Number) -> Schedule:
    """The same value at every step."""
    require_values(value=value)
    return lambda step: jnp.asarray(value, float)


@schedule
def linear(start: Number, end: Number, steps: int) -> Schedule:
    """From start to end in a straight line."""
    require_rates(start=start, end=end)
    require_steps("steps", steps)
    return lambda step: start + (end - start) * progress(step, steps)


@schedule
def polynomial(start: Number, end: Number, steps: int, power: Number = 1.0) -> Schedule:
    """From start to end like (1 - step / steps)^power."""
    require_rates(start=start, end=end, power=power)
    require_steps("steps", steps)

    def value(step):
        left = 1 - progress(step, steps)
        return end + (start - end) * jnp.where(left > 0, jnp.where(left > 0, left, 1) ** power, 0)

    return value


@schedule
def cosine(peak: Number, steps: int, end: Number = 0.0) -> Schedule:
    """From peak to end along half a cosine.  https://arxiv.org/abs/1608.03983"""
    require_rates(peak=peak, end=end)
    require_steps("steps", steps)
    return lambda step: end + (peak - end) * 0.5 * (1 + jnp.cos(jnp.pi * progress(step, steps)))


@schedule
def tanh_decay(peak: Number, steps: int, end: Number = 0.0, *, low: float = -6.0, high: float = 3.0) -> Schedule:
    """end + (peak - end) (1 - tanh(low + (high - low) step / steps)) / 2: flat, steep, and flat again.

    It starts and ends short of peak and end by what tanh misses at low and high.  https://arxiv.org/abs/1806.01593
    """
    require_rates(peak=peak, end=end)
    require_steps("steps", steps)
    require_constant("low", low)
    require_constant("high", high, low)
    return lambda step: end + (peak - end) * 0.5 * (1 - jnp.tanh(low + (high - low) * progress(step, steps)))


@schedule
def step_decay(start: Number, factor: Number, every: int) -> Schedule:
    """start, multiplied by factor after every so many steps."""
    require_rates(start=start, factor=factor)
    require_steps("every", every)
    return lambda step: start * _power(factor, real(jnp.asarray(step) // every))


@schedule
def piecewise(values: Sequence[Number], boundaries: Sequence[int]) -> Schedule:
    """values[0] before step boundaries[0], values[1] from there to boundaries[1], and so on."""
    if len(values) != len(boundaries) + 1:
        raise ValueError(f"{len(boundaries)} boundaries separate {len(boundaries) + 1} values, got {len(values)}")
    if any(bisect.bisect(boundaries[:i], boundary) < i for i, boundary in enumerate(boundaries)):
        raise ValueError(f"boundaries must increase, got {boundaries}")
    require_rates(**{f"values[{i}]": value for i, value in enumerate(values)})
    values, boundaries = tuple(values), tuple(boundaries)
    passed = lambda step: jnp.sum(jnp.asarray(step) >= jnp.asarray(boundaries, jnp.int32))
    return lambda step: jnp.asarray(values, float)[passed(step)]


@schedule
def interpolate(values: Sequence[Number], steps: Sequence[int]) -> Schedule:
    """values[i] at steps[i], a straight line from each to the next, constant before the first and after the last."""
    if len(values) != len(steps) or not values:
        raise ValueError(f"each value needs its step, got {len(values)} values and {len(steps)} steps")
    if list(steps) != sorted(set(steps)):
        raise ValueError(f"steps must increase, got {steps}")
    require_rates(**{f"values[{i}]": value for i, value in enumerate(values)})
    values, steps = tuple(values), tuple(steps)

    def value(step):
        level = jnp.asarray(values[0], float)
        for i in range(1, len(steps)):
            part = progress(jnp.asarray(step) - steps[i - 1], steps[i] - steps[i - 1])
            level = level + (values[i] - values[i - 1]) * part
        return level

    return value


@schedule
def exponential(start: Number, decay: Number, every: int = 1) -> Schedule:
    """start * decay^(step / every), without end."""
    require_rates(start=start, decay=decay)
    require_steps("every", every)
    return lambda step: start * _power(decay, real(step) / every)


@schedule
def inverse_time(start: Number, tau: Number = 1.0, power: Number = 1.0) -> Schedule:
    """start / (1 + step / tau)^power: Robbins and Monro's rates for 1/2 < power <= 1.

    https://projecteuclid.org/euclid.aoms/1177729586
    """
    require_rates(start=start, power=power)
    require_values(math.ulp(0.0), tau=tau)
    return lambda step: start * (1 + real(step) / tau) ** -power


@schedule
def inverse_sqrt(peak: Number, warmup: int) -> Schedule:
    """Linear to the peak at step warmup - 1, then like 1 / sqrt(step + 1).  https://arxiv.org/abs/1706.03762, eq. 3"""
    require_rates(peak=peak)
    require_steps("warmup", warmup)

    def value(step):
        n = 1 + real(step)
        return peak * jnp.minimum(n / warmup, jnp.sqrt(warmup / n))

    return value


@schedule
def noam(dim: int, warmup: int, factor: Number = 1.0) -> Schedule:
    """The transformer's: factor * dim^-1/2 * min((step + 1)^-1/2, (step + 1) * warmup^-3/2), by its width.

    It is `inverse_sqrt` with the peak factor / sqrt(dim * warmup).  https://arxiv.org/abs/1706.03762, eq. 3
    """
    require_rates(factor=factor)
    require_steps("dim", dim)
    require_steps("warmup", warmup)
    return inverse_sqrt(factor / math.sqrt(dim * warmup), warmup)


def progress(step: Any, steps: int) -> jax.Array:
    """How much of the steps is done, in [0, 1]."""
    return real(jnp.clip(jnp.asarray(step), 0, steps)) / steps


def real(step: Any) -> jax.Array:
    """The step in floating point."""
    return jnp.asarray(step, float)


def _power(base: Number, exponent: jax.Array) -> jax.Array:
    """base^exponent; a plain number's logarithm is taken in double precision, so that long schedules do not drift."""
    if isinstance(base, jax.Array):
        return base**exponent
    return jnp.exp(exponent * math.log(base)) if base > 0 else jnp.where(exponent > 0, 0.0, 1.0)


def require_rates(**values: Number) -> None:
    """Raise TypeError or ValueError unless all are numbers >= 0, or arrays."""
    require_values(0.0, **values)


def require_values(low: float = -math.inf, /, **values: Number) -> None:
    """Raise TypeError or ValueError unless all are numbers >= low, or arrays."""
    for name, value in values.items():
        if not isinstance(value, jax.Array):
            require_constant(name, value, low)


def require_steps(name: str, steps: Any) -> None:
    """Raise ValueError unless it is a whole number of steps, at least 1."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps < 2**31:
        raise ValueError(f"{name} must be a whole number of steps, at least 1 and below 2^31, got {steps!r}")
