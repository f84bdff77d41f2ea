"""Averages of the parameters over training, carried in the state of the optimizer."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.leaves import moments
from fdl.optim.transform import Hyper, Transform, require_number, transform, value_at
from fdl.tree import Tree, require_like


class AverageState(NamedTuple):
    """Steps taken, and the average of the parameters, float32 at least."""

    step: jax.Array
    average: Tree


@transform
def average_params(decay: Hyper = 0.999) -> Transform:
    """Carry average = decay * average + (1 - decay) * parameters; last in a chain, updates pass as they are.

    The parameters are those after the update, and the first of them are the first average.  With the schedule
    step / (step + 1) all count alike, which is stochastic weight averaging, https://arxiv.org/abs/1803.05407.
    `averaged(opt_state, params)` reads it.
    """
    require_number("decay", decay, 0.0, 1.0)

    def init(params):
        return AverageState(jnp.zeros((), jnp.int32), moments(params))

    def update(updates, state, params=None, **extras):
        if params is None:
            raise TypeError("average_params needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        keep = jnp.where(state.step == 0, 0, jnp.asarray(value_at(decay, state.step), float))

        def move(average, p, u):
            new = (p + u.astype(p.dtype)).astype(average.dtype)
            return average + (1 - keep.astype(average.dtype)) * (new - average)

        return updates, AverageState(state.step + 1, jax.tree.map(move, state.average, params, updates))

    return Transform(init, update)


def averaged(opt_state: Any, params: Tree) -> Tree:
    """The average that `average_params` carries in this state, in the types of the parameters.

    Before the first step it is zero.  Raises TreeError unless the state holds one average.
    """
    is_average = lambda node: isinstance(node, AverageState)
    found = [node.average for node in jax.tree.leaves(opt_state, is_leaf=is_average) if is_average(node)]
    if len(found) != 1:
        raise TreeError(f"the optimizer state holds {len(found)} averages, not one; put average_params in the chain")
    require_like(found[0], params, "average", "parameters", dtypes=False)
    return jax.tree.map(lambda average, p: average.astype(p.dtype), found[0], params)
