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
    """The arrays on the default device; one that is on devices stays there, be they many or of many processes.

    Raises ValueError for integers that would be cut.
    """
    require_fits(tree)
    return jax.tree.map(lambda leaf: leaf if isinstance(leaf, jax.Array) else jax.device_put(leaf), tree)


def require_fits(tree: Any) -> None:
    """Raise ValueError for integers that JAX without x64 would cut to their low 32 bits in silence: 2**33 becomes 0."""
    if not any(map(_is_cut, jax.tree.leaves(tree))):
        return
    for path, leaf in named_leaves(tree).items():
        if not _is_cut(leaf) or not leaf.size:
            continue
        narrow, low, high = jax.dtypes.canonicalize_dtype(leaf.dtype), int(leaf.min()), int(leaf.max())
        if low < np.iinfo(narrow).min or high > np.iinfo(narrow).max:
            raise ValueError(
                f"{path} must fit in {narrow}, got {leaf.dtype} from {low} to {high}; enable x64 or recode it"
            )


def _is_cut(leaf: Any) -> bool:
    """Whether it is an array of integers of a type that JAX makes narrower."""
    if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "iu" or leaf.dtype.itemsize < 8:
        return False
    return jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their paths, as in "image" or "pair/source"."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/") or "examples": leaf for path, leaf in leaves}


def _gather(leaf: Any, rows: Any) -> Any:
    if isinstance(leaf, np.ndarray) and not isinstance(rows, Tracer):
        return leaf[np.asarray(rows)]
    return jnp.asarray(leaf)[jnp.asarray(rows)]
