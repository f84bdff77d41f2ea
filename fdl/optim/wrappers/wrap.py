"""What transforms around a transform have in common."""

from typing import Any

import jax
import jax.numpy as jnp

from fdl.tree import Tree


def require_state(opt_state: Any, kind: type) -> None:
    """Raise TypeError unless the state is of the kind that init makes."""
    if not isinstance(opt_state, kind):
        raise TypeError(
            f"opt_state must be the {kind.__name__} that init makes, got {type(opt_state).__name__}; "
            "the order is update(updates, opt_state, params)"
        )


def choose(condition: jax.Array, new: Tree, old: Tree) -> Tree:
    """The new tree where the condition holds, else the old one, bit for bit."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def all_finite(tree: Tree) -> jax.Array:
    """Whether no entry is NaN or infinite."""
    return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree))]))
