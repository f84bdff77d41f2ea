"""Velocity: updates that remember the updates before, and the learning rate that turns a direction into a step.

Where the learning rate stands decides the form.  Before `accumulate` it enters the velocity, v = a v - e g (Polyak,
Goodfellow et al. algorithm 8.2); after it, it does not, v = a v + g and the step is -e v (the lecture, torch).
Both are the same while the rate is constant.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.leaves import each_leaf, moments, scale
from fdl.optim.transform import Hyper, Transform, require_number, scheduled, transform, value_at
from fdl.tree import Tree, require_like, widen


class AccumulateState(NamedTuple):
    """Steps taken, and the velocity."""

    step: jax.Array
    velocity: Tree


@transform
def scale_by_learning_rate(learning_rate: Hyper) -> Transform:
    """Turn a direction uphill into a step downhill: updates times -learning_rate."""
    require_number("learning_rate", learning_rate, 0.0)

    def update(updates, params, step):
        return scale(updates, -jnp.asarray(value_at(learning_rate, step), float))

    return scheduled(update, learning_rate)


@transform
def accumulate(momentum: Hyper = 0.9, *, average: bool = False, nesterov: bool = False) -> Transform:
    """Replace updates u by their velocity v = momentum * v + u, or with average by v = momentum * v + (1 - momentum) u.

    With nesterov the parameters are held at the interim point where Nesterov wants the gradient, and the update is
    u + momentum * v.  Behind the learning rate this is Goodfellow et al. algorithm 8.3, under schedules too, and
    `base_point` recovers its parameters; in front of it, it is the coding of torch.
    """
    require_number("momentum", momentum, 0.0, 1.0)

    def init(params):
        return AccumulateState(jnp.zeros((), jnp.int32), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step
        now, after = value_at(momentum, step), value_at(momentum, step + 1)

        def rule(u, velocity):
            u = (1 - jnp.asarray(now, u.dtype)) * u if average else u
            velocity = jnp.asarray(now, u.dtype) * velocity + u
            return u + jnp.asarray(after, u.dtype) * velocity if nesterov else velocity, velocity

        updates, velocity = each_leaf(rule, updates, state.velocity)
        return updates, AccumulateState(step + 1, velocity)

    return Transform(init, update)


def base_point(params: Tree, velocity: Tree, momentum: float | jax.Array) -> Tree:
    """Nesterov's parameters p - momentum * v, where training holds the interim point p and v holds the learning rate.

    momentum is the one of the next step.  Raises TreeError where the two trees differ.
    """
    require_like(velocity, params, "velocity", "parameters", dtypes=False)
    back = lambda p, v: (widen(p) - jnp.asarray(momentum, v.dtype) * v).astype(p.dtype)
    return jax.tree.map(back, params, velocity)
