"""A cell is one step of a recurrence, in two halves: what the input says, and what the carry makes of it.

    project(params, x)        -> z                  all that can be computed without the carry, one array or several
    step(params, carry, z)    -> (carry, y)         the rest
    start(shape)              -> carry              zeros, before the first step

`unroll` projects the inputs of all times in one product and runs only the steps one after the other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.nn.initializers import Initializer, initializer
from fdl.nn.layer import Layer, Params
from fdl.recipe import recipe
from fdl.tree import require_like, widen

Carry: TypeAlias = dict[str, Any]


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Cell(Layer):
    """A layer (carry or None, x) -> (carry, y) of one step, and its halves.  x is (batch, *shape), None any size.

    The carry is a dict of arrays, float32 at least: it is a sum over many steps.  project takes any number of axes
    before those of x; start takes the axes of x without the last and a type, float32 unless given.
    """

    shape: tuple[int | None, ...] = field(kw_only=True)
    project: Callable[[Params, jax.Array], Any] = field(kw_only=True)
    step: Callable[[Params, Carry, Any], tuple[Carry, jax.Array]] = field(kw_only=True)
    start: Callable[..., Carry] = field(kw_only=True)


cell = recipe(Cell)  # the decorator of constructors of cells


def make_cell(
    affine: Layer,
    init: Callable[[jax.Array], Params],
    step: Callable[[Params, Carry, Any], tuple[Carry, jax.Array]],
    *,
    shape: tuple[int | None, ...],
    carries: dict[str, int],
    project: Callable[[Params, jax.Array], Any] | None = None,
) -> Cell:
    """The cell of an affine layer on the input, under "input", and a step that has the params of init beside it.

    shape is that of one input, None for any size; carries has the width of each array of the carry; project is
    affine.apply unless given.  Decorate the constructor of your own cell with `cell`, as that of a layer with `layer`.
    """
    project = project or (lambda params, x: affine.apply(params, {}, x)[0])

    def init_all(key):
        own, rest = jax.random.split(key)
        return {"input": affine.init(own)[0], **init(rest)}, {}

    def start(shape: Sequence[int], dtype: Any = jnp.float32) -> Carry:
        return {name: widen(jnp.zeros((*shape, width), dtype)) for name, width in carries.items()}

    def apply(params, state, carry, x, *, key=None, train=False):
        require_shape(x, None, *shape)
        z = project(params["input"], x)
        return step(params, fit(carry, start(x.shape[:-1], type_of(z))), z), state

    own = lambda params, x: project(params["input"], x)
    return Cell(init_all, apply, is_pure=True, shape=shape, project=own, step=step, start=start)


def type_of(z: Any) -> Any:
    """The element type of what a cell projects."""
    return jax.tree.leaves(z)[0].dtype


def fit(carry: Carry | None, start: Carry) -> Carry:
    """The carry in the types of start; start itself for None.  Raises TreeError where it is that of another cell."""
    if carry is None:
        return start
    require_like(carry, start, "arrays of the carry", "cell and the batch", dtypes=False)
    return jax.tree.map(lambda given, wanted: jnp.asarray(given).astype(wanted.dtype), carry, start)


@initializer
def gatewise(draw: Initializer, gates: int) -> Any:
    """A draw of its own for each gate, side by side along the last axis."""

    def init(key, shape, dtype=jnp.float32):
        each = (*shape[:-1], shape[-1] // gates)
        return jnp.concatenate([draw(key, each, dtype) for key in jax.random.split(key, gates)], -1)

    return init


@initializer
def gate_constants(*values: float) -> Any:
    """The same value for every unit of a gate; needs no key."""
    return lambda key, shape, dtype=jnp.float32: jnp.repeat(jnp.asarray(values, dtype), shape[-1] // len(values))


def require_sizes(**sizes: int) -> None:
    """Raise ValueError unless all are positive."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
