"""Examples are a pytree of arrays whose leading axes are equal: row i of every leaf belongs to example i."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from fdl.checks import TreeError, describe


def count_examples(examples: Any) -> int:
    """How many examples there are.  Raises TreeError unless every leaf is an array and all leading axes are equal."""
    leaves = named_leaves(examples)
    if not leaves:
        raise TreeError(
            "examples must hold at least one array, got an empty tree; pass e.g. {'image': ..., 'label': ...}"
        )
    for path, leaf in leaves.items():
        if not getattr(leaf, "shape", ()):
            raise TreeError(f"{path} must be an array with a leading axis of examples, got {describe(leaf)}")
    lengths = {path: leaf.shape[0] for path, leaf in leaves.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{path} {length}" for path, length in lengths.items())
        raise TreeError(f"all leading axes must be equal, one row an example, got {found}; drop or add rows")
    return next(iter(lengths.values()))


def take(examples: Any, rows: Any) -> Any:
    """These rows of every leaf.  NumPy leaves stay on the host unless the rows are traced."""
    return jax.tree.map(lambda leaf: _gather(leaf, rows), examples)


def on_device(tree: Any) -> Any:
    """The arrays on the default device; one that is on devices stays there, be they many or of many processes."""
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf), tree)


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their paths, as in "image" or "pair/source"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "examples": leaf for path, leaf in leaves}


def _gather(leaf: Any, rows: Any) -> Any:
    if isinstance(leaf, np.ndarray) and not isinstance(rows, Tracer):
        return leaf[np.asarray(rows)]
    return jnp.asarray(leaf)[jnp.asarray(rows)]
