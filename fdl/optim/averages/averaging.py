"""Averages of the parameters over training, carried in the state of the optimizer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.points import point, require_params
from fdl.optim.schedules.standard import schedule
from fdl.optim.transform import (
    Hyper,
    Schedule,
    Transform,
    require_constant,
    require_number,
    require_whole,
    transform,
    value_at,
)
from fdl.tree import Tree, require_like


class AverageState(NamedTuple):
    """Steps taken, and the average of the parameters, float32 at least."""

    step: jax.Array
    average: Tree

    def averaged(self, params: Tree) -> Tree:
        """The average."""
        return self.average


@transform
def average_params(decay: Hyper = 0.999, *, start: int = 0, every: int = 1) -> Transform:
    """Carry average = decay * average + (1 - decay) * parameters; last in a chain, updates pass as they are.

    The parameters are those after the update.  Those of step `start` (from 0) are the first average, those of every
    `every`-th step from there are added; until then the average is the parameters.  A schedule of the decay sees how
    many were averaged before.  `averaged(opt_state, params)` reads it.
    """
    require_number("decay", decay, 0.0, 1.0)
    require_whole("start", start, 0)
    require_whole("every", every)

    def init(params):
        return AverageState(jnp.zeros((), jnp.int32), point(params))

    def update(updates, state, params=None, **extras):
        require_params("average_params", updates, params)
        since = state.step - start
        due = since % every == 0
        keep = jnp.asarray(value_at(decay, jnp.maximum(since, 0) // every), float)

        def move(average, p, u):
            new = (p + u.astype(p.dtype)).astype(average.dtype)
            mixed = average + (1 - keep.astype(average.dtype)) * (new - average)
            return jnp.where(since <= 0, new, jnp.where(due, mixed, average))

        return updates, AverageState(state.step + 1, jax.tree.map(move, state.average, params, updates))

    return Transform(init, update)


@transform
def swa(start: int = 0, every: int = 1) -> Transform:
    """Stochastic weight averaging: the plain mean of the parameters, from step `start` on at every `every`-th step.

    https://arxiv.org/abs/1803.05407
    """
    return average_params(polynomial_average(), start=start, every=every)


@schedule
def polynomial_average(power: float = 0.0) -> Schedule:
    """The decay with which the n-th parameters count like n^power in the average; with 0 all count alike.

    step / (step + 1 + power), https://arxiv.org/abs/1212.1824.  The authors of DoG take power 8.
    """
    require_constant("power", power, 0.0)
    return lambda step: jnp.asarray(step, float) / (jnp.asarray(step, float) + (1 + power))


@schedule
def rising_decay(decay: float = 0.999, start: int = 10) -> Schedule:
    """min(decay, (1 + step) / (start + step)): a long average that is short at first, so that it forgets the start."""
    require_constant("decay", decay, 0.0, 1.0)
    require_constant("start", start, 1)
    return lambda step: jnp.minimum(decay, (1 + jnp.asarray(step, float)) / (start + jnp.asarray(step, float)))


def averaged(opt_state: Any, params: Tree) -> Tree:
    """The parameters to evaluate, of the one optimizer in this state that averages; in the types of the parameters.

    It is the average of `average_params` and `swa`, x of `schedule_free`, the slow weights of `lookahead`.  Before the
    first step it is the first parameters.  Raises TreeError unless the state holds one average.
    """
    averages = lambda node: callable(getattr(node, "averaged", None))
    found = [node.averaged(params) for node in jax.tree.leaves(opt_state, is_leaf=averages) if averages(node)]
    if len(found) != 1:
        raise TreeError(f"the optimizer state holds {len(found)} averages, not one; put average_params in the chain")
    require_like(found[0], params, "average", "parameters", dtypes=False)
    return jax.tree.map(lambda average, p: average.astype(p.dtype), found[0], params)
