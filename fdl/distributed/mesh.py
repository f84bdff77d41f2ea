"""A mesh is the devices in rows and columns; arrays are split along its axes, which have names."""

import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh


def make_mesh(*, devices: Sequence[Any] | None = None, **axes: int) -> Mesh:
    """The devices along axes of these names and sizes: make_mesh(data=4, model=2).  One size may be -1, what is left.

    The compiler carries splits from arrays to results by itself (Auto axes).  Devices are all there are, of all
    processes, unless given.  Raises ValueError where the sizes do not multiply to their number.
    """
    devices = jax.devices() if devices is None else devices
    sizes = _filled(axes, len(devices))
    if math.prod(sizes) != len(devices):
        raise ValueError(
            f"a mesh of {_read(axes)} holds {math.prod(sizes)} devices, there are {len(devices)}; "
            "give one axis the size -1, or fewer devices, e.g. devices=jax.devices()[:4]"
        )
    return jax.make_mesh(sizes, tuple(axes), axis_types=(AxisType.Auto,) * len(axes), devices=devices)


def abstract_mesh(**axes: int) -> AbstractMesh:
    """A mesh of devices that are not here, to plan for: `table` and `lower` take it."""
    if not axes or min(axes.values()) < 1:
        raise ValueError(f"a mesh has axes of size 1 or more, got {_read(axes)}")
    return AbstractMesh(tuple(axes.values()), tuple(axes), axis_types=(AxisType.Auto,) * len(axes))


def _filled(axes: dict[str, int], count: int) -> tuple[int, ...]:
    """The sizes with -1 replaced by what is left of count devices."""
    known = math.prod(size for size in axes.values() if size != -1)
    if not axes or known < 1 or list(axes.values()).count(-1) > 1:
        raise ValueError(f"a mesh has axes of size 1 or more, at most one of them -1, got {_read(axes)}")
    return tuple(count // known if size == -1 else size for size in axes.values())


def _read(axes: dict[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in axes.items()) or "no axes"
