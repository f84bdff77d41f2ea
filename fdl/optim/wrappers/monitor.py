"""What passes through a chain, measured on its way and kept in the state."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.adaptive.running import BELOW_ONE, filled
from fdl.optim.leaves import moments
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree, widen


class MonitorState(NamedTuple):
    """Steps taken, and what was measured, by name."""

    step: jax.Array
    values: dict[str, Tree]


@transform
def monitor(measures: Mapping[str, Callable[[Tree], Any]], decay: float = 0.0) -> Transform:
    """Pass updates as they are and keep measure(updates) of each name: monitor({"gradient norm": tree.norm}).

    `monitored(opt_state)` reads them.  With a decay it is their running mean, corrected for its start at 0; before the
    first step all are 0.  A measure gives an array or a tree of arrays.
    """
    require_constant("decay", decay, 0.0, BELOW_ONE)

    def init(params):
        shapes = jax.eval_shape(lambda tree: _measured(measures, tree), moments(params))
        return MonitorState(jnp.zeros((), jnp.int32), jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        # The mean of t values from the corrected mean of t - 1: no other state is needed.
        weight = (1 - decay) / filled(decay, step)
        mix = lambda old, new: old + weight.astype(old.dtype) * (new.astype(old.dtype) - old)
        return updates, MonitorState(step, jax.tree.map(mix, state.values, _measured(measures, updates)))

    return Transform(init, update)


def monitored(opt_state: Any) -> dict[str, Tree]:
    """All that `monitor` keeps in this state, by name; raises TreeError where two have the same name."""
    is_monitor = lambda node: isinstance(node, MonitorState)
    found: dict[str, Tree] = {}
    for node in filter(is_monitor, jax.tree.leaves(opt_state, is_leaf=is_monitor)):
        if twice := found.keys() & node.values.keys():
            raise TreeError(f"the state holds {', '.join(sorted(twice))} more than once; take the part that you mean")
        found |= node.values
    return found


def _measured(measures: Mapping[str, Callable], tree: Tree) -> dict[str, Tree]:
    return {name: jax.tree.map(widen, measure(tree)) for name, measure in measures.items()}
