"""What adapters must know of a model's parameters: their paths, and which axes of a leaf are one kernel."""

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.layer import Layer
from fdl.tree import Tree, Where, flatten, require_matches, stands_for


@lru_cache(maxsize=256)
def params_of(model: Layer) -> dict[str, jax.ShapeDtypeStruct]:
    """The shapes of the model's parameters by path."""
    return flatten(jax.eval_shape(model.init, jax.random.key(0))[0])


def chosen(model: Layer, where: Where) -> list[str]:
    """The paths meant among the model's parameters; raises TreeError where a pattern matches nothing."""
    leaves = params_of(model)
    require_matches(leaves, where)
    return [path for path, leaf in leaves.items() if stands_for(where, path, leaf)]


def matrix_shape(model: Layer, path: str) -> tuple[int, ...]:
    """The leaf as matrices (*stack, rows, columns), the last axis of the kernel as columns and its other axes as rows.

    The part that owns the leaf says which axes are the kernel's own; those in front, of `repeat` or `each`, stack
    kernels.  Raises ShapeError for a leaf with fewer than two axes of its own.
    """
    shape, rank = params_of(model)[path].shape, _own_rank(model, path)
    if rank < 2:
        raise ShapeError(f"{path!r} must have two axes or more of its own to be a matrix, got {shape}")
    cut = len(shape) - rank
    return *shape[:cut], math.prod(shape[cut:-1]), shape[-1]


def narrowed(leaves: Tree, params: Tree, x: Iterable[Any]) -> Tree:
    """Leaves of the state in the narrowest type of the parameters, or of the inputs where there are no parameters.

    Mixed precision casts parameters and inputs but no state: what used to be a parameter must follow.
    """
    floats = lambda tree: [a.dtype for a in jax.tree.leaves(tree) if _is_float(a)]
    types = floats(params) or floats(list(x))
    if not types:
        return leaves
    dtype = min(types, key=lambda dtype: dtype.itemsize)
    wider = lambda leaf: _is_float(leaf) and leaf.dtype.itemsize > dtype.itemsize
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if wider(leaf) else leaf, leaves)


def as_type(tree: Tree, dtype: Any) -> Tree:
    """Floating-point arrays as this type, all else as it is; inputs of a layer may be anything."""
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if _is_float(leaf) else leaf, tree)


def _own_rank(part: Layer, path: str) -> int:
    """The number of axes that the leaf has in the innermost part that owns it."""
    name, _, rest = path.partition("/")
    if name in part.parts:
        return _own_rank(part.parts[name], rest)
    inner = part.call.bound.arguments.get("part") if part.call else None
    if isinstance(inner, Layer) and path in params_of(inner):  # a wrapper of one part without parts: repeat(dense)
        return _own_rank(inner, path)
    return params_of(part)[path].ndim


def _is_float(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
