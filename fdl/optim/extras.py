"""What a transform inside another sees of the loss: the extras, by the parameters that it works on itself."""

from collections.abc import Callable
from typing import Any

import jax

from fdl.tree import Tree, flatten, merge

OF_PARAMS = ("value_fn", "predict_fn", "factors_fn")  # the extras that are functions of the parameters


def through(extras: dict[str, Any], there: Callable[[Tree], Tree], back: Callable[[Tree], Tree] | None) -> dict:
    """The extras for a transform whose parameters are another form of ours: fewer of them, or of other types.

    there(gradient) is the gradient in its form, back(own) are the parameters that its own stand for, in ours.  Where
    back is None nobody knows them, and the functions of them are left out.
    """
    seen = {name: value for name, value in extras.items() if name not in OF_PARAMS}
    if "grad" in extras:
        seen["grad"] = there(extras["grad"])
    if back is None:
        return seen
    after = lambda function: lambda own: function(back(own))
    return seen | {name: after(extras[name]) for name in OF_PARAMS if name in extras}


def put_together(like: Tree, *parts: Tree) -> Tree:
    """The leaves of all parts in the form of the tree that they were cut from."""
    found = flatten(merge(*parts))
    return jax.tree.unflatten(jax.tree.structure(like), [found[path] for path in flatten(like)])
