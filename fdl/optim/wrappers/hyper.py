"""Hyper-parameters in the state: to be read, to be set without compiling again, to be swept by vmap."""

import inspect
import math
import numbers
from collections.abc import Callable, Iterator
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
def hyper(optimizer: Transform | Callable[..., Transform], /, *names: str) -> Transform:
    """The same optimizer with the arguments of these names moved into its state: hyper(adamw(1e-3), "learning_rate").

    Or what a function makes of numbers, so that they may stand anywhere in it, in a schedule too; its arguments begin
    at their defaults, and all of them move unless some are named:

        @optim.hyper
        def optimizer(peak=3e-3, weight_decay=1e-2):
            return optim.adamw(optim.cosine(peak, steps=1000), weight_decay=weight_decay)

    `hyper_values` reads them, `set_hyper` sets them; a vmap over a function that sets them sweeps over them.
    Raises TypeError for an argument that is no number, or that the optimizer must know before tracing.
    """
    is_made = isinstance(optimizer, Transform)
    make = optimizer.replace if is_made else optimizer
    given = {name: _number(optimizer, name) for name in names or (() if is_made else _arguments(optimizer))}
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    for name in given:
        try:
            jax.eval_shape(lambda value, name=name: (make(**{name: value}), value)[1], shape)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name!r} of {_shown(optimizer)} cannot live in the state: {error}") from error

    def init(params):
        values = {name: jnp.asarray(number, float) for name, number in given.items()}
        return HyperState(values, make(**values).init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, HyperState)
        updates, own = make(**state.values).update(updates, state.inner, params, **extras)
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


def _number(optimizer: Transform | Callable[..., Transform], name: str) -> Any:
    """The number that stands under this name."""
    held = _arguments(optimizer)
    if name not in held:
        kind = optimizer.call.kind if isinstance(optimizer, Transform) and optimizer.call else _shown(optimizer)
        raise TypeError(f"{kind} has no {name!r}; it has {', '.join(held)}")
    value = held[name]
    if isinstance(value, jax.Array) or (isinstance(value, numbers.Real) and not isinstance(value, bool)):
        return value
    told = "no default" if value is inspect.Parameter.empty else repr(value)
    hint = "; for a number in a schedule give hyper a function that makes the optimizer" if callable(value) else ""
    raise TypeError(f"{name!r} of {_shown(optimizer)} must be a number to live in the state, got {told}{hint}")


def _arguments(optimizer: Transform | Callable[..., Transform]) -> dict[str, Any]:
    """The arguments by name, as they were given, or their defaults."""
    given: dict[str, Any] = {}
    if not isinstance(optimizer, Transform):
        signature = inspect.signature(optimizer)
    elif optimizer.call is None:
        raise TypeError(f"{optimizer!r} does not know its constructor; make it in a decorated function")
    else:
        signature, given = optimizer.call.bound.signature, optimizer.call.bound.arguments
    return {name: given.get(name, parameter.default) for name, parameter in signature.parameters.items()}


def _shown(optimizer: Transform | Callable[..., Transform]) -> str:
    return repr(optimizer) if isinstance(optimizer, Transform) else getattr(optimizer, "__name__", repr(optimizer))
