"""Points in the space of parameters, as optimizers remember and reach them: in float32 at least."""

import jax
import jax.numpy as jnp

from fdl.optim.transform import Hyper, require_trainable
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
