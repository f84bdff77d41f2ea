"""Points in the space of parameters, as optimizers remember and reach them: in float32 at least."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.optim.transform import Hyper, Transform, only, require_trainable, scheduled
from fdl.tree import Tree, Where, require_like, select, widen


def point(params: Tree) -> Tree:
    """A copy of the parameters, float32 at least.  Raises DtypeError if one is no floating-point array."""
    require_trainable(params)
    return jax.tree.map(lambda p: jnp.array(widen(p), copy=True), params)


def moved(point: Tree, updates: Tree) -> Tree:
    """The point plus the updates, in the types of the point."""
    return jax.tree.map(lambda x, u: x + u.astype(x.dtype), point, updates)


def way_to(goal: Tree, params: Tree, updates: Tree) -> Tree:
    """The updates that take the parameters to the goal, in the types of these updates."""
    return jax.tree.map(lambda x, p, u: (x - p.astype(x.dtype)).astype(u.dtype), goal, params, updates)


def decayed(params: Tree, weight_decay: Hyper, where: Where) -> Tree:
    """True at the parameters that weight decay means; with the plain number 0 at none, and nothing need match."""
    plain = not callable(weight_decay) and not isinstance(weight_decay, jax.Array)
    return jax.tree.map(lambda p: False, params) if plain and weight_decay == 0 else select(params, where)


def require_params(name: str, updates: Tree, params: Tree) -> None:
    """Raise TypeError without parameters, TreeError unless the updates fit them."""
    if params is None:
        raise TypeError(f"{name} needs the parameters: call update(updates, opt_state, params)")
    require_like(updates, params, "updates", "parameters", dtypes=False)


def beside_params(name: str, change: Callable[..., jax.Array], where: Where, *hypers: Hyper) -> Transform:
    """The transform of change(update, parameter, step) -> update on the arrays meant; the others pass as they are.

    change sees float32 at least.  It counts its steps if one of the hypers is a schedule.
    """

    def leaf(step, u, p):
        wide = widen(u)
        return change(wide, p.astype(wide.dtype), step).astype(u.dtype)

    def update(updates, params, step):
        require_params(name, updates, params)
        return jax.tree.map(lambda u, p: leaf(step, u, p), updates, params)

    return only(scheduled(update, *hypers), where)
