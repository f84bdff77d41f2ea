"""Line searches: how far to go along a direction, judged by the loss on the same batch.

As functions they take f(params) -> loss, a direction downhill, and the value and slope of f at its start. As transforms
they come last in a chain: the updates that enter are the direction, those that leave are the step.  A loss that is NaN
or infinite counts as too far; a search that fails goes to the lowest point it accepted, which may be the start.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.transform import Transform, apply_updates, require_constant, require_whole, transform
from fdl.tree import Tree, norm, vdot, widen

ValueFn = Callable[[Tree], jax.Array]


class LineSearch(NamedTuple):
    """How far to go, the loss there, whether the conditions hold there, and how often the loss was taken."""

    step_size: jax.Array
    value: jax.Array
    found: jax.Array
    evaluations: jax.Array


class LineSearchState(NamedTuple):
    """The last step size, losses taken by all searches, searches that failed; the last slope where it is needed."""

    step_size: jax.Array
    evaluations: jax.Array
    failures: jax.Array
    slope: Any = ()


def backtracking(
    f: ValueFn,
    params: Tree,
    direction: Tree,
    value: jax.Array,
    slope: jax.Array,
    *,
    initial: Any = 1.0,
    decrease: float = 1e-4,
    shrink: float = 0.5,
    max_steps: int = 30,
) -> LineSearch:
    """The first of initial * shrink^k at which f fell by `decrease` of what its slope promised.

    Armijo's condition; Nocedal & Wright algorithm 3.1.  Fails at once if the slope is not downhill.
    """
    value = widen(value)
    slope = slope.astype(value.dtype)
    enough = lambda t, found: found <= value + decrease * t * slope + _rounding(value)

    def again(trial):
        k, t, found = trial
        return (slope < 0) & (k < max_steps) & ~enough(t, found)

    def body(trial):
        k, t, _ = trial
        t = jnp.where(k == 0, t, shrink * t)
        return k + 1, t, widen(f(_along(params, direction, t)))

    first = jnp.zeros((), jnp.int32), jnp.asarray(initial).astype(value.dtype), jnp.full_like(value, math.inf)
    k, t, reached = jax.lax.while_loop(again, body, first)
    found = (slope < 0) & enough(t, reached)
    return LineSearch(jnp.where(found, t, 0), jnp.where(found, reached, value), found, k)


def strong_wolfe(
    f: ValueFn,
    params: Tree,
    direction: Tree,
    value: jax.Array,
    slope: jax.Array,
    *,
    initial: Any = 1.0,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    max_steps: int = 30,
) -> LineSearch:
    """A step at which f fell by `decrease` of what its slope promised, and the slope shrank to `curvature` of itself.

    The bracket grows until it holds such a point, then shrinks around it by cubic interpolation: Nocedal & Wright
    algorithms 3.5 and 3.6 as one loop, in which 3.5 is 3.6 with the upper end at infinity.
    """
    value = widen(value)
    slope = slope.astype(value.dtype)
    phi = jax.value_and_grad(lambda t: widen(f(_along(params, direction, t))))
    slack = _rounding(value)
    start = _Point(jnp.zeros_like(value), value, slope)
    beyond = _Point(*(jnp.full_like(value, math.inf) for _ in start))

    def again(search):
        low, high = search.low.t, search.high.t
        room = jnp.isinf(high) | (jnp.abs(high - low) > jnp.finfo(value.dtype).eps * jnp.maximum(high, low))
        return (slope < 0) & (search.steps < max_steps) & ~search.found & room

    def body(search):
        low, high, t = search.low, search.high, search.trial
        point = _Point(t, *phi(t))
        fell = point.value <= jnp.minimum(value + decrease * t * slope, low.value) + slack
        turned = point.slope * (high.t - low.t) >= 0
        new_high = _choose(fell, _choose(turned, low, high), point)
        new_low = _choose(fell, point, low)
        trial = jnp.where(jnp.isinf(new_high.t), _outside(low, new_low), _inside(new_low, new_high))
        found = fell & (jnp.abs(point.slope) <= -curvature * slope)
        return _Search(search.steps + 1, new_low, new_high, trial, found)

    first = _Search(jnp.zeros((), jnp.int32), start, beyond, jnp.asarray(initial).astype(value.dtype), jnp.array(False))
    search = jax.lax.while_loop(again, body, first)
    return LineSearch(search.low.t, search.low.value, search.found, search.steps)


@transform
def scale_by_backtracking_line_search(
    initial: float = 1.0, *, grow: float = 2.0, decrease: float = 1e-4, shrink: float = 0.5, max_steps: int = 30
) -> Transform:
    """Shorten the updates until the loss falls enough, by `backtracking`; last in a chain.

    A search begins at the last step size times grow, at most at `initial`; with grow=math.inf always at `initial`.
    """
    require_constant("initial", initial, math.ulp(0.0))
    require_constant("grow", grow, 1.0)
    require_constant("decrease", decrease, 0.0, 1.0)
    require_constant("shrink", shrink, math.ulp(0.0), 1.0)
    require_whole("max_steps", max_steps)

    def search(f, params, direction, value, slope, last):
        known = last.step_size > 0
        first = jnp.where(known, jnp.minimum(initial, grow * jnp.where(known, last.step_size, 1)), initial)
        how = {"decrease": decrease, "shrink": shrink, "max_steps": max_steps}
        return backtracking(f, params, direction, value, slope, initial=first, **how)

    return _searching("scale_by_backtracking_line_search", search)


@transform
def scale_by_zoom_line_search(
    *, decrease: float = 1e-4, curvature: float = 0.9, scaled: bool = True, max_steps: int = 30
) -> Transform:
    """Scale the updates to a step that meets the strong Wolfe conditions, by `strong_wolfe`; last in a chain.

    The first search begins at a step of length 1 or less.  Later ones begin at the updates as they come, or with
    scaled=False, for directions whose length says nothing, where the last step promises as much as it did before.
    """
    require_constant("decrease", decrease, 0.0, 1.0)
    require_constant("curvature", curvature, decrease, 1.0)
    require_whole("max_steps", max_steps)

    def search(f, params, direction, value, slope, last):
        size = norm(direction)
        short = jnp.minimum(1, 1 / jnp.where(size == 0, 1, size))
        later = 1.0 if scaled else (last.step_size * last.slope).astype(slope.dtype) / jnp.where(slope == 0, 1, slope)
        first = jnp.where(last.step_size > 0, later, short.astype(slope.dtype))
        how = {"decrease": decrease, "curvature": curvature, "max_steps": max_steps}
        return strong_wolfe(f, params, direction, value, slope, initial=first, **how)

    return _searching("scale_by_zoom_line_search", search, keep_slope=not scaled)


def require_loss(name: str, params: Tree, extras: dict) -> tuple[jax.Array, Tree, ValueFn]:
    """The value, the gradient and the value_fn among the extras; raises TypeError if they or the parameters miss."""
    if params is None or not {"value", "grad", "value_fn"} <= set(extras):
        raise TypeError(
            f"{name} needs the parameters and the loss: call update(updates, opt_state, params, value=loss, "
            "grad=gradients, value_fn=function from parameters to loss), as the step of make_train_step does"
        )
    return extras["value"], extras["grad"], extras["value_fn"]


def _searching(name: str, search: Callable[..., LineSearch], *, keep_slope: bool = False) -> Transform:
    def init(params):
        number, counter = lambda: jnp.zeros((), float), lambda: jnp.zeros((), jnp.int32)
        return LineSearchState(number(), counter(), counter(), number() if keep_slope else ())

    def update(updates, state, params=None, **extras):
        value, grad, f = require_loss(name, params, extras)
        slope = vdot(grad, updates).astype(widen(value).dtype)
        result = search(f, params, updates, value, slope, state)
        step_size = result.step_size.astype(state.step_size.dtype)
        failures = state.failures + (~result.found).astype(jnp.int32)
        kept = slope.astype(state.slope.dtype) if keep_slope else ()
        after = LineSearchState(step_size, state.evaluations + result.evaluations, failures, kept)
        return scale(updates, result.step_size), after

    return Transform(init, update)


class _Point(NamedTuple):
    t: jax.Array
    value: jax.Array
    slope: jax.Array


class _Search(NamedTuple):
    steps: jax.Array
    low: _Point  # the lowest point that fell enough
    high: _Point  # the other end of the bracket, on either side of low
    trial: jax.Array
    found: jax.Array


def _along(params: Tree, direction: Tree, t: jax.Array) -> Tree:
    return apply_updates(params, scale(direction, t))


def _rounding(value: jax.Array) -> jax.Array:
    """Differences of the loss below this are rounding."""
    return jnp.finfo(value.dtype).eps * jnp.abs(value)


def _choose(condition: jax.Array, a: _Point, b: _Point) -> _Point:
    return _Point(*(jnp.where(condition, x, y) for x, y in zip(a, b)))


def _inside(low: _Point, high: _Point) -> jax.Array:
    """Where the cubic through both points is least, kept off the ends; the middle where there is none."""
    width = high.t - low.t
    part = (_cubic(low, high) - low.t) / width
    return low.t + width * jnp.where(jnp.isfinite(part), jnp.clip(part, 0.1, 0.9), 0.5)


def _outside(before: _Point, last: _Point) -> jax.Array:
    """Where the cubic through the last two points is least, between 1.1 and 4 times as far again."""
    width = last.t - before.t
    part = (_cubic(before, last) - last.t) / width
    return last.t + width * jnp.where(jnp.isfinite(part) & (part > 0), jnp.clip(part, 1.1, 4.0), 4.0)


def _cubic(a: _Point, b: _Point) -> jax.Array:
    """The minimum of the cubic with these values and slopes, Nocedal & Wright equation 3.59; NaN if it has none."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    d2 = jnp.sign(b.t - a.t) * jnp.sqrt(d1 * d1 - a.slope * b.slope)
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
