"""What transforms around a transform have in common."""

import jax
import jax.numpy as jnp

from fdl.tree import Tree


def choose(condition: jax.Array, new: Tree, old: Tree) -> Tree:
    """The new tree where the condition holds, else the old one, bit for bit."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def all_finite(tree: Tree) -> jax.Array:
    """Whether no entry is NaN or infinite."""
    return jnp.all(jnp.stack([jnp.asarray(True), *(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree))]))
