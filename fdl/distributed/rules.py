"""A layout says where arrays lie: rules by path for the parameters, a split for the batch; all else follows from them.

A rule is a `PartitionSpec`, or a function (shape, sizes of the mesh's axes) -> PartitionSpec.  The first pattern that
matches a path holds, and as everywhere a pattern that matches nothing, or a path that nothing matches, is an error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
from jax.sharding import AbstractMesh, Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from fdl.checks import ShapeError, describe
from fdl.train.state import TrainState
from fdl.tree import Tree, Where, assign, flatten, select

Sizes: TypeAlias = Mapping[str, int]
Rule: TypeAlias = Spec | Callable[[tuple[int, ...], Sizes], Spec]


class Layout(NamedTuple):
    """Where parameters lie between steps, how they lie in use, by pattern; and how a batch is split.

    Parameters that `late` means are brought into use by the model, see `gathered`; all others at the start of a step.
    """

    mesh: Mesh | AbstractMesh
    params: Mapping[str, Rule]
    used: Mapping[str, Rule]
    batch: Spec
    late: Where = ()


def replicate(mesh: Mesh | AbstractMesh) -> Layout:
    """Everything whole on every device: where the other layouts begin."""
    return Layout(mesh, {"**": Spec()}, {"**": Spec()}, Spec())


def data_parallel(layout: Layout, axis: str = "data") -> Layout:
    """The rows of a batch split over the axis; what the layout says of the parameters stays."""
    return layout._replace(batch=Spec(axis))


def fsdp(layout: Layout, axis: str = "data", *, least: int = 2**12, late: Where = ()) -> Layout:
    """Data parallel, and parameters and their moments split over the same axis, each along its `largest` dimension.

    In use parameters lie as the layout given says: a step gathers them first, and each device keeps and updates its
    part.  Those that `late` means are `gathered` by the model instead, a repetition at a time.  Parameters of fewer
    than `least` numbers stay whole.  https://arxiv.org/abs/1910.02054
    """
    params = {pattern: largest(axis, least=least, after=rule) for pattern, rule in layout.params.items()}
    return data_parallel(layout, axis)._replace(params=params, late=late)


def tensor_parallel(layout: Layout, axis: str = "model", *, columns: Sequence[str], rows: Sequence[str] = ()) -> Layout:
    """Kernels split over the axis: those of `columns` by their outputs, those of `rows` by their inputs.

    A pair of layers with the first by columns, its bias too, and the second by rows sums once over the devices, at the
    end: queries, keys and values before the output of attention, the first layer of an MLP before the second.
    The heads must divide by the axis, which no shape shows.  https://arxiv.org/abs/1909.08053
    """
    return prefer(layout, {**dict.fromkeys(columns, along(-1, axis)), **dict.fromkeys(rows, along(-2, axis))})


def prefer(layout: Layout, rules: Mapping[str, Rule]) -> Layout:
    """The layout with these rules before its own: prefer(layout, {"head/kernel": Spec(None, "model")})."""
    return layout._replace(params={**rules, **layout.params}, used={**rules, **layout.used})


def along(dimension: int, axis: str) -> Rule:
    """The rule that splits this dimension over the axis; -1 is the last, whatever stands in front, as in `repeat`."""

    def spec(shape, sizes):
        if not -len(shape) <= dimension < len(shape):
            raise ShapeError(f"it has no dimension {dimension}")
        return Spec(*[None] * (dimension % len(shape)), axis)

    return spec


def largest(axis: str, *, least: int = 0, after: Rule = Spec()) -> Rule:
    """The rule that splits, besides what `after` splits, the largest dimension that divides over the axis.

    A dimension that is split already is taken where no other divides.  An array of fewer than `least` numbers stays
    as it is.  Where a larger one has no dimension to split it is an error.
    """

    def spec(shape, sizes):
        base = spec_of(after, shape, sizes)
        names = [*base, *[None] * (len(shape) - len(base))]
        if math.prod(shape) < max(least, 2):
            return base
        left = [size // _size(name, sizes) for size, name in zip(shape, names)]
        fit = [i for i, size in enumerate(left) if size and size % _size(axis, sizes) == 0]
        if not fit:
            raise ShapeError(f"no dimension left divides by {axis!r} of size {sizes[axis]}; give it a rule of its own")
        best = max(fit, key=lambda i: (names[i] is None, left[i]))
        names[best] = axis if names[best] is None else (*axes_of(names[best]), axis)
        return Spec(*names[: max(len(base), best + 1)])

    return spec


def shardings(tree: Tree, layout: Layout) -> Tree:
    """The `NamedSharding` of every leaf: of parameters, or of a whole TrainState; shapes alone will do.

    In a TrainState a leaf whose path ends in that of a parameter of the same shape, as moments do, lies like it; all
    other leaves are whole everywhere.
    Raises TreeError for a path without a rule or a rule without a path, ShapeError naming all arrays that a rule
    does not fit: more axes than dimensions, an axis that the mesh lacks, a dimension that does not divide.
    """
    leaves, rules = flatten(tree), _rules(tree, layout)
    return _like(tree, _fitted(leaves, rules, layout.mesh))


def used_shardings(params: Tree, layout: Layout) -> Tree:
    """The same of parameters at the start of a step: in use, but for those that come late."""
    late = select(params, layout.late)
    rest, used = shardings(params, layout), shardings(params, layout._replace(params=layout.used))
    return jax.tree.map(lambda late, rest, used: rest if late else used, late, rest, used)


def batch_shardings(batch: Tree, layout: Layout, *, strict: bool = True) -> Tree:
    """The `NamedSharding` of every leaf of a batch; a leaf of few dimensions takes the first entries of the split.

    Raises ShapeError where a dimension does not divide, or if not strict leaves it whole.
    """
    leaves, sizes = flatten(batch), dict(layout.mesh.shape)
    rules: dict[str, Rule] = {path: Spec(*layout.batch[: len(leaf.shape)]) for path, leaf in leaves.items()}
    if not strict:
        rules = {path: Spec() if _faults(leaves[path], rule, sizes) else rule for path, rule in rules.items()}
    return _like(batch, _fitted(leaves, rules, layout.mesh))


def _rules(tree: Tree, layout: Layout) -> dict[str, Rule]:
    if not isinstance(tree, TrainState):
        return flatten(assign(tree, layout.params))
    rules, shapes = flatten(assign(tree.params, layout.params)), flatten(tree.params)

    def inherited(path, leaf):
        names = path.split("/")
        ends = ["/".join(names[i:]) for i in range(1, len(names))]
        return next((rules[end] for end in ends if end in rules and shapes[end].shape == leaf.shape), Spec())

    return {path: inherited(path, leaf) for path, leaf in flatten(tree).items()}


def _fitted(leaves: Mapping[str, Any], rules: Mapping[str, Rule], mesh: Any) -> list[NamedSharding]:
    """The shardings of these leaves; raises ShapeError with a line for each that its rule does not fit."""
    sizes, wrong = dict(mesh.shape), []
    for path, leaf in leaves.items():
        wrong += [f"{path or 'it'}, {describe(leaf)}: {fault}" for fault in _faults(leaf, rules[path], sizes)]
    if wrong:
        more = f"\n  and {len(wrong) - 8} more" if len(wrong) > 8 else ""
        raise ShapeError("these arrays cannot be split as the rules say:\n  " + "\n  ".join(wrong[:8]) + more)
    return [NamedSharding(mesh, spec_of(rules[path], leaf.shape, sizes)) for path, leaf in leaves.items()]


def _faults(leaf: Any, rule: Rule, sizes: Sizes) -> list[str]:
    """What is wrong with this rule for this leaf."""
    try:
        spec = spec_of(rule, leaf.shape, sizes)
        if len(spec) > len(leaf.shape):
            return [f"{spec} splits {len(spec)} dimensions, it has {len(leaf.shape)}"]
        return [
            f"dimension {i}, {size}, does not divide by {entry!r} of size {_size(entry, sizes)}"
            for i, (entry, size) in enumerate(zip(spec, leaf.shape))
            if size % _size(entry, sizes)
        ]
    except ShapeError as error:
        return [str(error)]


def spec_of(rule: Rule, shape: tuple[int, ...], sizes: Sizes) -> Spec:
    """The spec that a rule gives an array of this shape."""
    return rule if isinstance(rule, Spec) else rule(shape, sizes)


def axes_of(entry: Any) -> tuple[str, ...]:
    """The axes of a mesh over which an entry of a spec splits a dimension: none, one or several."""
    return () if entry is None else (entry,) if isinstance(entry, str) else tuple(entry)


def _size(entry: Any, sizes: Sizes) -> int:
    """Into how many parts an entry of a spec cuts a dimension."""
    for axis in axes_of(entry):
        if axis not in sizes:
            raise ShapeError(f"the mesh has no axis {axis!r}, its axes are {', '.join(sizes)}")
    return math.prod(sizes[axis] for axis in axes_of(entry))


def _like(tree: Tree, leaves: Sequence) -> Tree:
    return jax.tree.unflatten(jax.tree.structure(tree), leaves)
