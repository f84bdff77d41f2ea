"""Arrays in parts: a process writes those of its own devices, and any other split is put together from them."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from fdl.tree import Tree, flatten, is_key

Box: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # where it starts, how far it goes


class Part(NamedTuple):
    """Some of the numbers of an array, from `start` on."""

    start: tuple[int, ...]
    numbers: np.ndarray

    @property
    def box(self) -> Box:
        """Where the part lies in its array."""
        return self.start, self.numbers.shape


def as_numbers(tree: Tree) -> tuple[dict[str, Any], dict[str, str]]:
    """(arrays by path, random keys as their numbers; the kinds of keys by path)."""
    leaves = flatten(tree)
    keys = {path: str(jax.random.key_impl(leaf)) for path, leaf in leaves.items() if is_key(leaf)}
    return {path: jax.random.key_data(leaf) if path in keys else leaf for path, leaf in leaves.items()}, keys


def whole(shape: Sequence[int]) -> Box:
    """All of an array of this shape."""
    return (0,) * len(shape), tuple(shape)


def called(path: str, box: Box, shape: Sequence[int]) -> str:
    """The name of a part in its file: the path of the array, and unless it is all of it where it lies: a/b[0:2,4:8]."""
    if box == whole(shape):
        return path
    return f"{path}[{','.join(f'{start}:{start + size}' for start, size in zip(*box))}]"


def written_here(leaf: Any) -> list[Part]:
    """Copies, on the host, of the parts of an array that this process writes: of equal copies one process writes one.

    What a process has for itself is the same in all: process 0 writes it.
    """
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        copy = Part((0,) * np.ndim(leaf), np.array(leaf, order="C"))
        return [copy] if jax.process_index() == 0 else []
    mine = [shard for shard in leaf.addressable_shards if shard.replica_id == 0]
    return [Part(_box(shard.index, leaf.shape)[0], np.array(shard.data, order="C")) for shard in mine]


def boxes_here(place: Any, shape: tuple[int, ...]) -> dict[Any, Box]:
    """The part of an array with this sharding that each device of this process holds; without one, all of it."""
    if place is None:
        return {None: whole(shape)}
    return {device: _box(index, shape) for device, index in place.addressable_devices_indices_map(shape).items()}


def fill(boxes: Iterable[Box], shape: Sequence[int]) -> bool:
    """Whether the boxes are a grid that fills an array of this shape, without gap or overlap."""
    given = [tuple(zip(*box)) for box in boxes]
    axes = [sorted({cell[i] for cell in given}) for i in range(len(shape))]
    ends = [[0, *(start + size for start, size in axis)] for axis in axes]
    chained = all([start for start, _ in axis] == end[:-1] for axis, end in zip(axes, ends))
    whole = [end[-1] for end in ends] == [*shape]
    return bool(given) and chained and whole and len({*given}) == len(given) == math.prod(map(len, axes))


def meet(a: Box, b: Box) -> bool:
    """Whether two boxes have numbers in common; one without any meets all."""
    return all(max(p, q) < min(p + m, q + n) or m == 0 for p, m, q, n in zip(*a, *b))


def cut(parts: Sequence[Part], box: Box, dtype: Any) -> np.ndarray:
    """The numbers in a box, from parts that fill it; a part itself where it is just that."""
    if len(parts) == 1 and parts[0].box == box:
        return parts[0].numbers
    start, shape = box
    made = np.zeros(shape, dtype)
    for part in parts:
        if meet(part.box, box):
            low = [max(p, q) for p, q in zip(part.start, start)]
            high = [min(p + m, q + n) for p, m, q, n in zip(*part.box, start, shape)]
            made[_between(low, high, start)] = part.numbers[_between(low, high, part.start)]
    return made


def _between(low: Sequence[int], high: Sequence[int], start: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start))


def _box(index: Sequence[slice], shape: Sequence[int]) -> Box:
    """The box that slices of an array of this shape mean."""
    ends = [piece.indices(size)[:2] for piece, size in zip(index, shape)]
    return tuple(start for start, _ in ends), tuple(stop - start for start, stop in ends)
