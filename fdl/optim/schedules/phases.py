"""Schedules made of phases: each runs on a clock of its own, from its own step 0."""

from collections.abc import Sequence

import jax.numpy as jnp

from fdl.optim.schedules.standard import (
    Number,
    constant,
    cosine,
    linear,
    progress,
    require_rates,
    require_steps,
    schedule,
)
from fdl.optim.transform import Schedule, require_constant


@schedule
def join(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """schedules[0] before step boundaries[0], from there schedules[1] from its own step 0, and so on."""
    if len(schedules) != len(boundaries) + 1:
        raise ValueError(f"{len(boundaries)} boundaries separate {len(boundaries) + 1} schedules, got {len(schedules)}")
    if list(boundaries) != sorted(set(boundaries)) or any(boundary < 1 for boundary in boundaries):
        raise ValueError(f"boundaries must be at least 1 and increase, got {boundaries}")
    _require_schedules(schedules)
    first, *others = schedules
    later = tuple(zip(others, boundaries))

    def value(step):
        step = jnp.asarray(step)
        level = jnp.asarray(first(step), float)
        for own, boundary in later:
            level = jnp.where(step >= boundary, own(jnp.maximum(step - boundary, 0)), level)
        return level

    return value


@schedule
def product(*schedules: Schedule) -> Schedule:
    """The product of schedules: a rate and the factors on it."""
    _require_schedules(schedules)

    def value(step):
        level = jnp.ones((), float)
        for factor in schedules:
            level = level * factor(step)
        return level

    return value


@schedule
def warmup(schedule: Schedule, steps: int, start: Number = 0.0) -> Schedule:
    """From start in a straight line to where the schedule begins, which then runs from its own step 0."""
    require_rates(start=start)
    require_steps("steps", steps)
    _require_schedules([schedule])

    def value(step):
        after = schedule(jnp.maximum(jnp.asarray(step) - steps, 0))
        part = progress(step, steps)
        return jnp.where(part < 1, start + (after - start) * part, after)

    return value


@schedule
def warmup_cosine(peak: Number, steps: int, warmup: int, end: Number = 0.0) -> Schedule:
    """From 0 in a straight line to peak at step warmup, then half a cosine that reaches end at step steps."""
    require_steps("warmup", warmup)
    _require_longer(steps, warmup, "warmup")
    return _warmed(cosine(peak, steps - warmup, end), warmup)


@schedule
def warmup_stable_decay(
    peak: Number, steps: int, warmup: int, decay: int, end: Number = 0.0, *, sqrt: bool = False
) -> Schedule:
    """From 0 to peak at step warmup, constant, and over the last `decay` of all steps down to end: WSD.

    The way down is straight, or with sqrt falls like 1 - sqrt(part).  A run can be cut off its plateau at any step.
    https://arxiv.org/abs/2404.06395, https://arxiv.org/abs/2405.18392
    """
    require_steps("warmup", warmup)
    require_steps("decay", decay)
    _require_longer(steps, warmup + decay, "warmup + decay")
    down = _sqrt_decay(peak, end, decay) if sqrt else linear(peak, end, decay)
    return _warmed(join([constant(peak), down], [steps - warmup - decay]), warmup)


@schedule
def one_cycle(
    peak: Number,
    steps: int,
    warmup: int,
    start: Number | None = None,
    end: Number | None = None,
    *,
    straight: bool = False,
) -> Schedule:
    """From start up to peak at step warmup and down to end at step steps, along half cosines or straight lines.

    start is peak / 25 and end start / 10^4 unless told.  torch's OneCycleLR(peak, total, pct_start=part) has
    warmup = part * total - 1 and steps = total - 1.  https://arxiv.org/abs/1708.07120
    """
    start = peak / 25 if start is None else start
    end = start / 1e4 if end is None else end
    require_rates(peak=peak, start=start, end=end)
    require_steps("warmup", warmup)
    _require_longer(steps, warmup, "warmup")
    curve = (lambda a, b, n: linear(a, b, n)) if straight else (lambda a, b, n: cosine(a, n, b))
    return join([curve(start, peak, warmup), curve(peak, end, steps - warmup)], [warmup])


@schedule
def warm_restarts(peak: Number, steps: int, end: Number = 0.0, *, grow: int = 1) -> Schedule:
    """Half cosines from peak to end over and over, the first of this length, each next `grow` times as long: SGDR.

    https://arxiv.org/abs/1608.03983
    """
    require_rates(peak=peak, end=end)
    require_steps("steps", steps)
    require_steps("grow", grow)
    starts, lengths = [0], [steps]
    while grow > 1 and starts[-1] + lengths[-1] < 2**31:
        starts.append(starts[-1] + lengths[-1])
        lengths.append(min(lengths[-1] * grow, 2**31 - 1))

    def value(step):
        step = jnp.asarray(step, jnp.int32)
        cycle = jnp.sum(step >= jnp.asarray(starts, jnp.int32)) - 1
        length = jnp.asarray(lengths, jnp.int32)[cycle]
        done = jnp.remainder(step - jnp.asarray(starts, jnp.int32)[cycle], length)
        part = jnp.asarray(done, float) / jnp.asarray(length, float)
        return end + (peak - end) * 0.5 * (1 + jnp.cos(jnp.pi * part))

    return value


@schedule
def triangular(low: Number, high: Number, up: int, down: int | None = None, *, shrink: float = 1.0) -> Schedule:
    """From low to high in `up` steps and back in `down` (as many unless told), over and over.

    Each cycle is `shrink` times as high above low as the one before; 0.5 is torch's triangular2.
    https://arxiv.org/abs/1506.01186
    """
    down = up if down is None else down
    require_rates(low=low, high=high)
    require_steps("up", up)
    require_steps("down", down)
    require_constant("shrink", shrink, 0.0, 1.0)

    def value(step):
        step = jnp.asarray(step)
        done, cycle = jnp.remainder(step, up + down), jnp.asarray(step // (up + down), float)
        part = progress(done, up) - progress(done - up, down)
        return low + (high - low) * part * (1.0 if shrink == 1 else jnp.asarray(shrink, float) ** cycle)

    return value


def _sqrt_decay(peak: Number, end: Number, steps: int) -> Schedule:
    require_rates(peak=peak, end=end)

    def value(step):
        done = progress(step, steps)
        return peak + (end - peak) * jnp.where(done > 0, jnp.sqrt(jnp.where(done > 0, done, 1)), 0)

    return value


def _warmed(after: Schedule, steps: int) -> Schedule:
    return warmup(after, steps)


def _require_schedules(schedules: Sequence[Schedule]) -> None:
    for i, each in enumerate(schedules):
        if not callable(each):
            raise TypeError(f"schedule {i} must be a schedule, got {each!r}; a number is constant({each!r})")


def _require_longer(steps: int, part: int, name: str) -> None:
    require_steps("steps", steps)
    if part >= steps:
        raise ValueError(f"steps counts the whole: it must exceed {name}={part}, got {steps}")
