"""Pytrees by path: one pattern language says which leaves are meant, everywhere in the library.

A path reads `blocks/attend/kernel`.  In a pattern `*` stands for anything within one name, `**` for any number of
names.  `where` is a pattern, a sequence of patterns (any may match), or a function (path, leaf) -> bool.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import TreeError, describe

Tree: TypeAlias = Any
Where: TypeAlias = str | Sequence[str] | Callable[[str, Any], bool]


def matches(pattern: str, path: str) -> bool:
    """Whether the whole path reads as the pattern."""
    return _reads(path.split("/"), pattern.split("/"))


def stands_for(where: Where, path: str, leaf: Any) -> bool:
    """Whether the leaf at this path is meant."""
    if isinstance(where, str):
        return matches(where, path)
    return bool(where(path, leaf)) if callable(where) else any(matches(pattern, path) for pattern in where)


def flatten(tree: Tree) -> dict[str, Any]:
    """Leaves by path, {"a/b/c": leaf}, in the order of `jax.tree.leaves`."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dict with these leaves by path; the inverse of `flatten` for nested dicts."""
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise TreeError(f"{path!r} lies below {parent!r}, which is a leaf itself")
        if name in node:
            raise TreeError(f"{path!r} is a leaf and a branch at once")
        node[name] = leaf
    return tree


def select(tree: Tree, where: Where, *, strict: bool = True) -> Tree:
    """The same tree with True at the leaves meant and False elsewhere.

    Raises TreeError if strict and some pattern matches no leaf.
    """
    leaves = flatten(tree)
    if strict:
        require_matches(leaves, where)
    return _like(tree, [stands_for(where, path, leaf) for path, leaf in leaves.items()])


def split(tree: Tree, where: Where, *, strict: bool = True) -> tuple[dict, dict]:
    """The nested dicts (meant, rest); `merge` puts them together again."""
    leaves = flatten(tree)
    if strict:
        require_matches(leaves, where)
    meant = {path: leaf for path, leaf in leaves.items() if stands_for(where, path, leaf)}
    return unflatten(meant), unflatten({path: leaf for path, leaf in leaves.items() if path not in meant})


def merge(*trees: Tree) -> dict[str, Any]:
    """One nested dict with the leaves of all; raises TreeError if two have the same path."""
    leaves: dict[str, Any] = {}
    for tree in trees:
        for path, leaf in flatten(tree).items():
            if path in leaves:
                raise TreeError(f"two of the trees have a leaf at {path!r}")
            leaves[path] = leaf
    return unflatten(leaves)


def map_where(function: Callable[[Any], Any], tree: Tree, where: Where = "**", *, strict: bool = True) -> Tree:
    """Apply function to the leaves meant and leave the others as they are."""
    return jax.tree.map(lambda meant, leaf: function(leaf) if meant else leaf, select(tree, where, strict=strict), tree)


def map_with_path(function: Callable[[str, Any], Any], tree: Tree) -> Tree:
    """Apply function(path, leaf) to every leaf."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: function(_name(path), leaf), tree)


def assign(tree: Tree, table: Mapping[str, Any], *, strict: bool = True) -> Tree:
    """The same tree with the value of the first pattern of the table that matches each path.

    Raises TreeError for a leaf that nothing matches; if strict, also for a pattern that comes first for no leaf.
    """
    found = {path: next((pattern for pattern in table if matches(pattern, path)), None) for path in flatten(tree)}
    bare = [path for path, pattern in found.items() if pattern is None]
    if bare:
        raise TreeError(f"no pattern matches {_some(bare)}; add '**' as the last pattern for all the rest")
    idle = [pattern for pattern in table if pattern not in found.values()]
    if strict and idle:
        raise TreeError(f"pattern {_some(idle)} comes first for no leaf; the paths are {_some(found)}")
    return _like(tree, [table[pattern] for pattern in found.values() if pattern is not None])


def require_matches(leaves: Mapping[str, Any], where: Where) -> None:
    """Raise TreeError if a pattern of where, or where itself, means no leaf at all."""
    for pattern in (where,) if isinstance(where, str) or callable(where) else where:
        if not any(stands_for(pattern, path, leaf) for path, leaf in leaves.items()):
            named = getattr(pattern, "__name__", repr(pattern))
            raise TreeError(f"{named} matches nothing; the paths are {_some(leaves)}")


def require_like(
    tree: Tree, like: Tree, name: str = "tree", wanted: str = "wanted tree", *, dtypes: bool = True
) -> None:
    """Raise TreeError unless both have the same paths, shapes and (if dtypes) element types; names the first wrong."""
    wrong = differences(flatten(tree), flatten(like), dtypes=dtypes)
    if wrong:
        more = f"\n  and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise TreeError(f"the {name} do not fit the {wanted}:\n  " + "\n  ".join(wrong[:8]) + more)


def differences(have: Mapping[str, Any], want: Mapping[str, Any], *, dtypes: bool = True) -> list[str]:
    """A line for each path that is missing, unexpected, or of another shape or (if dtypes) element type."""
    seen = describe if dtypes else jnp.shape
    missing = [f"{path}: missing, expected {describe(leaf)}" for path, leaf in want.items() if path not in have]
    unexpected = [f"{path}: unexpected {describe(leaf)}" for path, leaf in have.items() if path not in want]
    both = [(path, have[path], want[path]) for path in want if path in have]
    other = [f"{path}: expected {describe(b)}, got {describe(a)}" for path, a, b in both if seen(a) != seen(b)]
    return missing + unexpected + other


def count(tree: Tree) -> int:
    """Number of scalars in all leaves."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def nbytes(tree: Tree) -> int:
    """Bytes in all leaves; works on shapes alone, as `jax.eval_shape` gives them."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def table(tree: Tree) -> str:
    """The leaves as text, a line each: path, type, number of scalars; and their sum."""
    rows = [(path, describe(leaf), f"{math.prod(leaf.shape):,}") for path, leaf in flatten(tree).items()]
    rows.append(("all", f"{nbytes(tree):,} bytes", f"{count(tree):,}"))
    path_width, type_width, count_width = (max(map(len, column)) for column in zip(*rows))
    return "\n".join(f"{path:<{path_width}}  {kind:<{type_width}}  {n:>{count_width}}" for path, kind, n in rows)


def norm(tree: Tree) -> jax.Array:
    """Euclidean norm over all leaves, summed in float32 at least; its gradient at zero is zero, not NaN."""
    squares = [jnp.sum(jnp.square(jnp.abs(widen(leaf)))) for leaf in jax.tree.leaves(tree)]
    dtype = max([jnp.dtype("float32"), *(x.dtype for x in squares)], key=lambda dtype: dtype.itemsize)
    total = sum((x.astype(dtype) for x in squares), jnp.zeros((), dtype))
    still = total == 0
    return jnp.where(still, 0, jnp.sqrt(jnp.where(still, 1, total)))


def vdot(a: Tree, b: Tree) -> jax.Array:
    """Inner product over all leaves of two real trees of the same form, summed in float32 at least."""
    products = jax.tree.leaves(jax.tree.map(lambda x, y: jnp.sum(widen(x) * widen(y)), a, b))
    dtype = max([jnp.dtype("float32"), *(x.dtype for x in products)], key=lambda dtype: dtype.itemsize)
    return sum((x.astype(dtype) for x in products), jnp.zeros((), dtype))


def add_scaled(x: Tree, factor: Any, y: Tree) -> Tree:
    """x + factor * y, for one number and two trees of the same form and types."""
    return jax.tree.map(lambda a, b: a + jnp.asarray(factor).astype(b.dtype) * b, x, y)


def norms(tree: Tree) -> dict[str, jax.Array]:
    """Euclidean norm of each leaf, by path."""
    return {path: norm(leaf) for path, leaf in flatten(tree).items()}


def cast(tree: Tree, dtype: Any, where: Where = "**") -> Tree:
    """Floating-point leaves meant, as dtype; integers, booleans and keys stay as they are."""
    change = lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
    return map_where(change, tree, where, strict=where != "**")


def widen(x: jax.Array) -> jax.Array:
    """A 16-bit array as float32, any other as it is: what sums are taken in."""
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def zeros_like(tree: Tree) -> Tree:
    """Fresh zeros of the same shapes and types; never two views of one buffer, so they can be donated."""
    return jax.tree.map(jnp.zeros_like, tree)


def digest(tree: Tree) -> str:
    """SHA-256 over the paths, types and bits of all leaves: equal exactly when the trees are."""
    state = hashlib.sha256()
    for path, leaf in flatten(tree).items():
        array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
        state.update(f"{path} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return state.hexdigest()


def is_key(leaf: Any) -> bool:
    """Whether a leaf holds typed random keys, whose numbers `jax.random.key_data` gives."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _like(tree: Tree, leaves: Sequence) -> Tree:
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)


def _reads(names: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_reads(names[skip:], pattern[1:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _reads(names[1:], pattern[1:])


def _some(names: Any) -> str:
    names = list(map(str, names))
    return ", ".join(map(repr, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
