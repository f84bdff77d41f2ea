"""Functions of arrays that need not exist."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr


def trace(f: Callable, *specs: Any) -> ClosedJaxpr:
    """The jaxpr of f(*specs); leaves with a shape and a type are unknown, others (numbers) stay as they are."""
    call, arrays = on_arrays(f, *specs)
    return jax.make_jaxpr(call)(*(jax.ShapeDtypeStruct(a.shape, jax.typeof(a).dtype) for a in arrays))


def on_arrays(f: Callable, *args: Any) -> tuple[Callable, list]:
    """(call, arrays) with call(*arrays) = f(*args), where arrays are the leaves of args with a shape and a type."""
    leaves, structure = jax.tree.flatten(args)
    places = [i for i, leaf in enumerate(leaves) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]

    def call(*arrays):
        filled = list(leaves)
        for i, array in zip(places, arrays):
            filled[i] = array
        return f(*jax.tree.unflatten(structure, filled))

    return call, [leaves[i] for i in places]
