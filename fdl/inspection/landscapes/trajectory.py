"""Where an optimizer goes on a landscape, by the step that trains models."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.compile import compile
from fdl.inspection.landscapes.landscape import Landscape
from fdl.optim import AccumulateState, ExtrapolateState, Transform, averaged
from fdl.train import TrainState, TwoPartLoss, make_train_step
from fdl.tree import Tree


class Trajectory(NamedTuple):
    """Points (..., steps + 1, dim), the first of which is the start, and their values (..., steps + 1)."""

    points: jax.Array
    values: jax.Array


def trajectory(optimizer: Transform, landscape: Landscape, steps: int, *, start: Any = None) -> Trajectory:
    """The points that the optimizer reaches from the start, in so many steps.  start: (dim,), or (n, dim) for many

    The point is trained as a kernel of shape (1, dim), by the step of `make_train_step`, so optimizers that need the
    loss, patterns of kernels and matrices work as they do on models (`muon(..., rest=None)`).  A point is the one to
    evaluate: the average where the optimizer keeps one, Nesterov's own point where it holds the interim one, the
    result of FISTA.  It may be anything if it diverges, not finite too.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be a whole number, at least 0, got {steps!r}")
    first = jnp.asarray(landscape.start if start is None else start, float)
    if first.ndim == 2:
        require_shape(first, None, landscape.dim, name="start")
        return _from_many(optimizer, landscape, first, steps=steps)
    require_shape(first, landscape.dim, name="start")
    return _from_one(optimizer, landscape, first, steps=steps)


def trajectories(
    optimizers: Mapping[str, Transform], landscape: Landscape, steps: int, *, start: Any = None
) -> dict[str, Trajectory]:
    """The trajectory of each optimizer, by its name."""
    return {name: trajectory(optimizer, landscape, steps, start=start) for name, optimizer in optimizers.items()}


def sweep(make: Callable[[jax.Array], Transform], landscape: Landscape, rates: Any, steps: int) -> Trajectory:
    """The trajectories of make(rate) for all rates (n,), in one program: points (n, steps + 1, dim)."""
    start = jnp.asarray(landscape.start, float)
    one = lambda rate: _follow(make(rate), landscape, start, steps=steps)
    return compile(jax.vmap(one))(jnp.asarray(rates, float))


def _follow(optimizer: Transform, landscape: Landscape, start: jax.Array, *, steps: int) -> Trajectory:
    step = make_train_step(_loss(landscape), optimizer).pure

    def move(carried, _):
        at, last = carried
        at, _ = step(at, None)
        point = _point_that_counts(at.params, at.opt_state, last)
        return (at, point), point["kernel"][0]

    params = {"kernel": start[None]}
    at = TrainState(jnp.zeros((), jnp.int32), jax.random.key(0), params, {}, optimizer.init(params))
    points = jnp.concatenate([start[None], jax.lax.scan(move, (at, params), None, steps)[1]])
    return Trajectory(points, jax.vmap(landscape.function)(points))


def _loss(landscape: Landscape) -> TwoPartLoss:
    """The loss of one linear layer with 1 for an input, so that there are outputs for K-FAC too."""

    def predict(params, state, batch, key):
        return params["kernel"], (state, {})

    def factors(params, state, batch, key):
        values, vectors = jnp.linalg.eigh(jax.hessian(landscape.function)(params["kernel"][0]))
        return {"": (jnp.ones((1, 1), values.dtype), vectors * jnp.maximum(values, 0)[None] @ vectors.T)}

    return TwoPartLoss(predict, lambda outputs, batch: landscape.function(outputs[0]), factors)


_from_one = compile(_follow, static_argnames="steps")
_from_many = compile(
    lambda optimizer, landscape, starts, steps: jax.vmap(lambda x: _follow(optimizer, landscape, x, steps=steps))(
        starts
    ),
    static_argnames="steps",
)


def _point_that_counts(params: Tree, opt_state: Any, last: Tree) -> Tree:
    """The parameters to evaluate; `last` are those of the step before."""
    averages = lambda node: callable(getattr(node, "averaged", None))
    if any(map(averages, jax.tree.leaves(opt_state, is_leaf=averages))):
        return averaged(opt_state, params)
    end = _end(opt_state)
    if isinstance(end, ExtrapolateState):
        return end.point
    if isinstance(end, AccumulateState):
        # Behind the learning rate the point moves by its velocity, in Nesterov's form as in Polyak's.
        return jax.tree.map(lambda x, v: x + v.astype(x.dtype), last, end.velocity)
    return params


def _end(opt_state: Any) -> Any:
    """The state of the last transform in a chain, through chains in it."""
    while type(opt_state) is tuple and opt_state:
        opt_state = opt_state[-1]
    return opt_state
