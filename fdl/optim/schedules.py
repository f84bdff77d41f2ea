"""Schedules: pure functions step -> value that know the call that made them.

The first update sees step 0.  A schedule that ends keeps its last value.  Steps are counted as integers and turned into
floating point last, so that a schedule is as exact after 10^9 steps as float32 can be.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from fdl.optim.transform import Schedule, require_constant
from fdl.recipe import Function, recipe

schedule = recipe(Function)
"""Decorate a constructor of schedules: what it makes remembers the constructor and its arguments."""


@schedule
def constant(value: float) -> Schedule:
    """The same value at every step."""
    require_constant("value", value)
    return lambda step: jnp.asarray(value, float)


@schedule
def linear(start: float, end: float, steps: int) -> Schedule:
    """From start to end in a straight line."""
    _require_rates(start=start, end=end)
    _require_steps("steps", steps)
    return lambda step: start + (end - start) * _progress(step, steps)


@schedule
def cosine(peak: float, steps: int, end: float = 0.0) -> Schedule:
    """From peak to end along half a cosine.  https://arxiv.org/abs/1608.03983"""
    _require_rates(peak=peak, end=end)
    _require_steps("steps", steps)
    return lambda step: end + (peak - end) * 0.5 * (1 + jnp.cos(jnp.pi * _progress(step, steps)))


@schedule
def step_decay(start: float, factor: float, every: int) -> Schedule:
    """start, multiplied by factor after every so many steps."""
    _require_rates(start=start, factor=factor)
    _require_steps("every", every)
    return lambda step: start * _power(factor, _real(jnp.asarray(step) // every))


@schedule
def piecewise(values: Sequence[float], boundaries: Sequence[int]) -> Schedule:
    """values[0] before step boundaries[0], values[1] from there to boundaries[1], and so on."""
    if len(values) != len(boundaries) + 1:
        raise ValueError(f"{len(boundaries)} boundaries separate {len(boundaries) + 1} values, got {len(values)}")
    if any(bisect.bisect(boundaries[:i], boundary) < i for i, boundary in enumerate(boundaries)):
        raise ValueError(f"boundaries must increase, got {boundaries}")
    _require_rates(**{f"values[{i}]": value for i, value in enumerate(values)})
    values, boundaries = tuple(values), tuple(boundaries)
    passed = lambda step: jnp.sum(jnp.asarray(step) >= jnp.asarray(boundaries, jnp.int32))
    return lambda step: jnp.asarray(values, float)[passed(step)]


@schedule
def exponential(start: float, decay: float, every: int = 1) -> Schedule:
    """start * decay^(step / every), without end."""
    _require_rates(start=start, decay=decay)
    _require_steps("every", every)
    return lambda step: start * _power(decay, _real(step) / every)


@schedule
def inverse_time(start: float, tau: float = 1.0, power: float = 1.0) -> Schedule:
    """start / (1 + step / tau)^power: Robbins and Monro's rates for 1/2 < power <= 1.

    https://projecteuclid.org/euclid.aoms/1177729586
    """
    _require_rates(start=start, power=power)
    require_constant("tau", tau, math.ulp(0.0))
    return lambda step: start * (1 + _real(step) / tau) ** -power


@schedule
def inverse_sqrt(peak: float, warmup: int) -> Schedule:
    """Linear to the peak at step warmup - 1, then like 1 / sqrt(step + 1).  https://arxiv.org/abs/1706.03762, eq. 3"""
    _require_rates(peak=peak)
    _require_steps("warmup", warmup)

    def value(step):
        n = 1 + _real(step)
        return peak * jnp.minimum(n / warmup, jnp.sqrt(warmup / n))

    return value


@schedule
def warmup(schedule: Schedule, steps: int, start: float = 0.0) -> Schedule:
    """From start in a straight line to where the schedule begins, which then runs from its own step 0."""
    _require_rates(start=start)
    _require_steps("steps", steps)
    return _ramp(schedule, steps, start)


@schedule
def warmup_cosine(peak: float, steps: int, warmup: int, end: float = 0.0) -> Schedule:
    """From 0 in a straight line to peak at step warmup, then half a cosine that reaches end at step steps."""
    _require_steps("warmup", warmup)
    if warmup >= steps:
        raise ValueError(f"steps counts the warm-up too: it must exceed warmup={warmup}, got {steps}")
    return _ramp(cosine(peak, steps - warmup, end), warmup, 0.0)


def satisfies_robbins_monro(schedule: Any) -> bool:
    """Whether the sum of the rates diverges while the sum of their squares converges: SGD then forgets its noise.

    True only where that is known: for `inverse_time` with 1/2 < power <= 1, warmed up or not.
    """
    call = getattr(schedule, "call", None)
    if call is None:
        return False
    if call.constructor is warmup:
        return satisfies_robbins_monro(call.bound.arguments["schedule"])
    given = {"power": 1.0, **call.bound.arguments}
    return call.constructor is inverse_time and given["start"] > 0 and 0.5 < given["power"] <= 1


def _ramp(schedule: Schedule, steps: int, start: float) -> Schedule:
    def value(step):
        after = schedule(jnp.maximum(jnp.asarray(step) - steps, 0))
        part = _progress(step, steps)
        return jnp.where(part < 1, start + (after - start) * part, after)

    return value


def _progress(step: Any, steps: int) -> jax.Array:
    """How much of the steps is done, in [0, 1]."""
    return _real(jnp.clip(jnp.asarray(step), 0, steps)) / steps


def _real(step: Any) -> jax.Array:
    return jnp.asarray(step, float)


def _power(base: float, exponent: jax.Array) -> jax.Array:
    """base^exponent; the logarithm is taken in double precision, so that long schedules do not drift."""
    return jnp.exp(exponent * math.log(base)) if base > 0 else jnp.where(exponent > 0, 0.0, 1.0)


def _require_rates(**values: float) -> None:
    for name, value in values.items():
        require_constant(name, value, 0.0)


def _require_steps(name: str, steps: Any) -> None:
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps < 2**31:
        raise ValueError(f"{name} must be a whole number of steps, at least 1 and below 2^31, got {steps!r}")
