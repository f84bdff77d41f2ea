"""Copies of the parameters that follow them: the target networks of reinforcement and self-supervised learning."""

import jax
import jax.numpy as jnp

from fdl.tree import Tree, require_like, widen


def incremental_update(target: Tree, params: Tree, rate: float | jax.Array) -> Tree:
    """target + rate * (params - target), in the types of the target: the soft update.

    In 16 bits a small rate moves nothing: keep the target in float32.  https://arxiv.org/abs/1509.02971
    """
    require_like(params, target, "parameters", "target", dtypes=False)

    def move(t, p):
        wide = widen(t)
        return (wide + jnp.asarray(rate).astype(wide.dtype) * (p.astype(wide.dtype) - wide)).astype(t.dtype)

    return jax.tree.map(move, target, params)


def periodic_update(target: Tree, params: Tree, step: int | jax.Array, every: int) -> Tree:
    """The parameters at every `every`-th step, else the target as it is: the hard update.  At step 0 the parameters."""
    require_like(params, target, "parameters", "target", dtypes=False)
    due = jnp.asarray(step) % every == 0
    return jax.tree.map(lambda t, p: jnp.where(due, p.astype(t.dtype), t), target, params)
