"""The heart of optimization: a transform is two pure functions, and optimizers are transforms in a chain.

    init(params)                                              -> opt_state
    update(updates, opt_state, params=None, **extras)         -> (updates, opt_state)

Updates start as gradients and end as what is added to the parameters.  A transform that needs the loss finds it in
`extras`, which the train step always passes.  The protocol is optax's, so either library's transforms chain with the
other's; optax is not needed.
"""

import inspect
import math
import numbers
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import DtypeError, TreeError, describe
from fdl.optim.extras import put_together, through
from fdl.recipe import Recorded, recipe
from fdl.tree import Tree, Where, flatten, require_like, split

Schedule: TypeAlias = Callable[[Any], Any]
Hyper: TypeAlias = float | jax.Array | Schedule


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Transform(Recorded):
    """Two pure functions over trees like the parameters.  A value: prints, compares, hashes and pickles by its call."""

    init: Callable[[Tree], Any]
    update: Callable[..., tuple[Tree, Any]]

    def __iter__(self) -> Iterator[Callable]:
        return iter((self.init, self.update))


transform = recipe(Transform)  # the decorator of constructors of transforms


class ScheduledState(NamedTuple):
    """Steps taken, for the schedules of a transform."""

    step: jax.Array


def stateless(update: Callable[..., Tree]) -> Transform:
    """The transform of update(updates, params) -> updates, which remembers nothing."""

    def init(params):
        require_trainable(params)
        return ()

    def unchanged(updates, state, params=None, **extras):
        require_state(state, tuple)
        return update(updates, params), state

    return Transform(init, unchanged)


def leafwise(function: Callable[..., jax.Array]) -> Transform:
    """The transform that applies function(update) to every leaf."""
    return stateless(lambda updates, params: jax.tree.map(function, updates))


def counting(update: Callable[..., Tree]) -> Transform:
    """The transform of update(updates, params, step) -> updates, which counts its steps and remembers nothing else."""

    def init(params):
        require_trainable(params)
        return ScheduledState(jnp.zeros((), jnp.int32))

    def counted(updates, state, params=None, **extras):
        require_state(state, ScheduledState)
        return update(updates, params, state.step), ScheduledState(state.step + 1)

    return Transform(init, counted)


def scheduled(update: Callable[..., Tree], *hypers: Hyper) -> Transform:
    """The transform of update(updates, params, step) -> updates, which counts its steps if a hyper is a schedule.

    Plain numbers need no count, so they cost no state: step is then None.
    """
    if any(map(callable, hypers)):
        return counting(update)
    return stateless(lambda updates, params: update(updates, params, None))


@transform
def chain(*transforms: Transform | Any) -> Transform:
    """One transform after the other: the updates that leave one enter the next.  Takes optax transforms as well."""

    def init(params):
        require_trainable(params)
        return tuple(part.init(params) for part in transforms)

    def update(updates, state, params=None, **extras):
        require_state(state, tuple)
        if len(state) != len(transforms):
            raise TreeError(f"opt_state has {len(state)} parts, the chain has {len(transforms)}: another optimizer's?")
        require_fit(updates, params)
        new_state = []
        for part, own in zip(transforms, state):
            updates, own = part.update(updates, own, params, **(extras if _takes_extras(part.update) else {}))
            new_state.append(own)
        return updates, tuple(new_state)

    return Transform(init, update)


@transform
def only(inner: Transform, where: Where) -> Transform:
    """The inner transform on the leaves meant; the other updates pass as they are and cost no state.

    What it sees of the loss is that of its own leaves, the others held where they are.  Raises TreeError where a
    pattern matches nothing.
    """

    def init(params):
        return inner.init(split(params, where)[0])

    def update(updates, state, params=None, **extras):
        require_fit(updates, params)
        meant, rest = split(updates, where)
        own, others = (None, None) if params is None else split(params, where)
        back = None if params is None else lambda own: put_together(params, own, others)
        seen = through(extras, lambda grad: split(grad, where)[0], back)
        meant, state = inner.update(meant, state, own, **seen)
        return put_together(updates, meant, rest), state

    return Transform(init, update)


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """params + updates, in the element types of the parameters.

    Raises TreeError naming the paths where the two trees differ.
    """
    require_like(updates, params, "updates", "parameters", dtypes=False)
    return jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)


def require_trainable(params: Tree) -> None:
    """Raise DtypeError if a parameter is no floating-point array."""
    for path, leaf in flatten(params).items():
        if not (hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.inexact)):
            raise DtypeError(
                f"parameter {path!r} is {describe(leaf)}; only floating-point arrays can be trained: "
                "carry it in the state, or leave it out with tree.split"
            )


def require_fit(updates: Tree, params: Tree) -> None:
    """Raise TreeError unless the updates have the paths and shapes of the parameters, if these were given."""
    if params is not None:
        wanted = "parameters; give one for each, as jax.grad by all of them does"
        require_like(updates, params, "updates", wanted, dtypes=False)


def require_state(opt_state: Any, kind: type) -> None:
    """Raise TypeError unless the state is of the kind that init makes."""
    if not isinstance(opt_state, kind):
        raise TypeError(
            f"opt_state must be the {kind.__name__} that init makes, got {type(opt_state).__name__}; "
            "the order is update(updates, opt_state, params)"
        )


def value_at(hyper: Hyper, step: Any) -> Any:
    """The hyper-parameter at this step: a number as it is, a schedule called."""
    return hyper(step) if callable(hyper) else hyper


def require_number(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise TypeError or ValueError unless value is a schedule, an array or a number with low <= value <= high."""
    if not callable(value) and not isinstance(value, jax.Array):
        _require_real(name, value, "a number or a schedule", low, high)


def require_constant(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> None:
    """Raise TypeError or ValueError unless value is a plain number with low <= value <= high."""
    _require_real(name, value, "a plain number, known before tracing", low, high)


def require_whole(name: str, value: Any, low: int = 1) -> None:
    """Raise TypeError or ValueError unless value is a plain whole number, at least low."""
    _require_real(name, value, f"a whole number, at least {low}", -math.inf, math.inf)
    if not isinstance(value, numbers.Integral) or value < low:
        raise ValueError(f"{name} must be a whole number, at least {low}, got {value!r}")


def _require_real(name: str, value: Any, wanted: str, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        hint = "; make it a number with float(...)" if isinstance(value, str) else ""
        raise TypeError(f"{name} must be {wanted}, got {value!r} of type {type(value).__name__}{hint}")
    if not low <= float(value) <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value}")


def _takes_extras(update: Callable) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(update).parameters.values())
