"""One pass over the leaves: the state that mirrors the parameters, and the rule that moves it.

Moments are kept in float32 at least, whatever the parameters are: an average with decay 0.999 cannot move in the eight
bits of bfloat16.  Rules compute in the type of the moments; updates leave in the type in which they came.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from fdl.checks import DtypeError, describe
from fdl.optim.transform import require_trainable
from fdl.tree import Tree, flatten, require_like, widen


def moments(params: Tree, value: Any = 0.0) -> Tree:
    """Fresh arrays of this value, shaped like the parameters, float32 at least.

    Raises DtypeError if a parameter is no floating-point array.
    """
    require_trainable(params)
    return jax.tree.map(lambda p: jnp.full(p.shape, value, _wide_type(p)), params)


def require_real(params: Tree) -> None:
    """Raise DtypeError if a parameter is complex: squares and signs of parts are not those of the whole."""
    for path, leaf in flatten(params).items():
        if jnp.iscomplexobj(leaf):
            raise DtypeError(
                f"parameter {path!r} is {describe(leaf)}; train its real and imaginary parts as two arrays"
            )


def scale(updates: Tree, factor: jax.Array) -> Tree:
    """Every update times the factor, each in its own type."""
    return jax.tree.map(lambda u: (widen(u) * factor.astype(widen(u).dtype)).astype(u.dtype), updates)


def each_leaf(rule: Callable[..., Any], updates: Tree, *states: Tree) -> tuple[Tree, ...]:
    """rule(update, *moments) -> (update, *moments) on every leaf; returns as many trees.

    Raises TreeError naming the paths where the updates do not fit the state.
    """
    for state in states:
        require_like(updates, state, "updates", "optimizer state", dtypes=False)

    def wide_rule(update, *own):
        results = rule(update.astype(own[0].dtype), *own)
        return tuple(new.astype(old.dtype) for new, old in zip(results, (update, *own)))

    structure = jax.tree.structure(updates)
    rows = list(zip(*map(structure.flatten_up_to, (updates, *states))))
    move = jax.jit(wide_rule) if _repeats(rows) and _staged() else wide_rule
    rows = [move(*row) for row in rows]
    return tuple(structure.unflatten([row[i] for row in rows]) for i in range(1 + len(states)))


def _repeats(rows: list[tuple]) -> bool:
    """Whether so many leaves are alike that the program should hold the rule once a shape, not once a leaf."""
    return len(rows) > 2 * len({(update.shape, update.dtype) for update, *_ in rows})


def _staged() -> bool:
    """Whether operations are written into a program: then a constant is a tracer too.  Elsewhere jit would compile."""
    return isinstance(jnp.zeros(()), Tracer)


def _wide_type(x: jax.Array) -> Any:
    return x.dtype if jnp.finfo(x.dtype).bits >= 32 else jnp.dtype(jnp.float32)
