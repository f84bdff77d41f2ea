"""Hyper-parameters in the state: to be read, to be set without compiling again, to be swept by vmap."""

import math
import numbers
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.transform import Transform, require_number, require_state, transform
from fdl.tree import Tree


class HyperState(NamedTuple):
    """The hyper-parameters by name, and the state of the optimizer that they steer."""

    values: dict[str, jax.Array]
    inner: Any


@transform
def hyper(optimizer: Transform, /, *names: str) -> Transform:
    """The same optimizer with the arguments of these names moved into its state: hyper(adamw(1e-3), "learning_rate").

    `hyper_values` reads them, `set_hyper` sets them; a vmap over a function that sets them sweeps over them.
    Raises TypeError for an argument that is a schedule, or that the optimizer must know before tracing.
    """
    given = {name: _number(optimizer, name) for name in names}
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    for name in names:
        try:
            jax.eval_shape(lambda value, name=name: (optimizer.replace(**{name: value}), value)[1], shape)
        except TypeError as error:
            raise TypeError(f"{name!r} of {optimizer!r} cannot live in the state: {error}") from error

    def init(params):
        values = {name: jnp.asarray(number, float) for name, number in given.items()}
        return HyperState(values, optimizer.replace(**values).init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, HyperState)
        made = optimizer.replace(**state.values)
        updates, own = made.update(updates, state.inner, params, **extras)
        return updates, HyperState(state.values, own)

    return Transform(init, update)


def hyper_values(opt_state: Tree) -> dict[str, jax.Array]:
    """The hyper-parameters that this state holds, by name; raises TreeError where two have the same name."""
    values: dict[str, jax.Array] = {}
    for state in _hyper_states(opt_state):
        if twice := values.keys() & state.values.keys():
            raise TreeError(f"the state holds {', '.join(sorted(twice))} more than once; take the part that you mean")
        values |= state.values
    return values


def set_hyper(opt_state: Tree, **values: float | jax.Array) -> Tree:
    """The same state with other hyper-parameters; a whole TrainState will do.  Nothing is compiled again.

    Raises TreeError for a name that the state does not hold, TypeError or ValueError for no number >= 0.
    """
    held = hyper_values(opt_state)
    for name, value in values.items():
        if name not in held:
            raise TreeError(f"the state holds no {name!r}; it holds {', '.join(held) or 'none: see optim.hyper'}")
        require_number(name, value, 0.0, math.inf)
        if callable(value):
            raise TypeError(f"{name} must be a number, got the schedule {value!r}; the state holds numbers")

    def change(node):
        if not _is_hyper(node):
            return node
        new = {name: jnp.asarray(values.get(name, old), old.dtype) for name, old in node.values.items()}
        return HyperState(new, jax.tree.map(change, node.inner, is_leaf=_is_hyper))

    return jax.tree.map(change, opt_state, is_leaf=_is_hyper)


def _is_hyper(node: Any) -> bool:
    return isinstance(node, HyperState)


def _hyper_states(tree: Tree) -> Iterator[HyperState]:
    for node in jax.tree.leaves(tree, is_leaf=_is_hyper):
        if _is_hyper(node):
            yield node
            yield from _hyper_states(node.inner)


def _number(optimizer: Transform, name: str) -> Any:
    """The number that the optimizer was given under this name, or its default."""
    if optimizer.call is None:
        raise TypeError(f"{optimizer!r} does not know its constructor; make it in a decorated function")
    bound = optimizer.call.bound
    if name not in bound.signature.parameters:
        raise TypeError(f"{optimizer.call.kind} has no {name!r}; it has {', '.join(bound.signature.parameters)}")
    value = bound.arguments.get(name, bound.signature.parameters[name].default)
    if isinstance(value, jax.Array) or (isinstance(value, numbers.Real) and not isinstance(value, bool)):
        return value
    raise TypeError(f"{name!r} of {optimizer!r} must be a number to live in the state, got {value!r}")
