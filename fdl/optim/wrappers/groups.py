"""Parameter groups: each part of the model under a transform of its own, by pattern."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from fdl.checks import describe
from fdl.optim.extras import put_together, through
from fdl.optim.transform import Transform, leafwise, require_fit, require_state, require_trainable, transform
from fdl.tree import Tree, assign, flatten, unflatten


class GroupsState(NamedTuple):
    """The state of every group, by its pattern."""

    inner: dict[str, Any]


@transform
def groups(transforms: Mapping[str, Transform]) -> Transform:
    """Each parameter under the transform of the first pattern that matches its path.

    groups({"head/**": adam(1e-3), "**/bias": sgd(0.1), "**": freeze()}).  What a group measures, such as a norm to clip
    by, it measures in itself, and the loss as a function of its own parameters, the others held where they are.
    Raises TreeError for a parameter that nothing matches, and for a pattern that comes first for none.
    `group_table` prints who is where.
    """

    def init(params):
        require_trainable(params)
        parts = _parts(params, transforms)
        return GroupsState({pattern: transforms[pattern].init(part) for pattern, part in parts.items()})

    def update(updates, state, params=None, **extras):
        require_state(state, GroupsState)
        require_fit(updates, params)
        own = dict.fromkeys(transforms) if params is None else _parts(params, transforms)
        moved, new = {}, {}
        for pattern, part in _parts(updates, transforms).items():
            others = [other for name, other in own.items() if name != pattern]
            back = None if params is None else lambda own, others=others: put_together(params, own, *others)
            seen = through(extras, lambda grad, pattern=pattern: _parts(grad, transforms)[pattern], back)
            moved[pattern], new[pattern] = transforms[pattern].update(part, state.inner[pattern], own[pattern], **seen)
        return put_together(updates, *moved.values()), GroupsState(new)

    return Transform(init, update)


@transform
def freeze() -> Transform:
    """Updates of 0, whatever the gradient; no state."""
    return leafwise(jnp.zeros_like)


def group_table(optimizer: Transform, params: Tree) -> str:
    """The parameters as text, a line each: path, type, and the pattern and the transform of its group.

    optimizer is what `groups` made.  Raises TypeError for another, and TreeError as `groups` does.
    """
    if optimizer.call is None or optimizer.call.constructor is not groups:
        raise TypeError(f"group_table shows what groups made, got {optimizer!r}")
    transforms = optimizer.call.bound.arguments["transforms"]
    chosen = flatten(assign(params, {pattern: pattern for pattern in transforms}))
    leaves = flatten(params).items()
    rows = [(path, describe(leaf), chosen[path], repr(transforms[chosen[path]])) for path, leaf in leaves]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _parts(tree: Tree, transforms: Mapping[str, Any]) -> dict[str, dict]:
    """The tree cut into nested dicts, one for each pattern."""
    chosen, leaves = flatten(assign(tree, {pattern: pattern for pattern in transforms})), flatten(tree)
    return {
        pattern: unflatten({path: leaf for path, leaf in leaves.items() if chosen[path] == pattern})
        for pattern in transforms
    }
