"""McCulloch and Pitts' neurons: all or none, with a threshold, and silenced by a single inhibition.

Nets of them are values, tuples of layers, and compute every Boolean function in two layers.
McCulloch and Pitts 1943, A Logical Calculus of the Ideas Immanent in Nervous Activity.
"""

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import DtypeError, ShapeError, describe, require_shape


class Units(NamedTuple):
    """A layer: how many synapses excite, int (in, units), which inhibit, bool (in, units), thresholds, int (units,)."""

    excite: jax.Array
    inhibit: jax.Array
    threshold: jax.Array


def fire(net: Sequence[Units], x: ArrayLike) -> jax.Array:
    """Which neurons of the last layer fire.  bool (..., in) -> bool (..., units)

    A neuron fires if none of its inhibitory inputs does, and at least threshold of its excitatory synapses do.
    """
    if jnp.result_type(x) != jnp.bool_:
        raise DtypeError(f"a neuron fires or does not, so x must be boolean, got {describe(x)}; compare, e.g. x > 0")
    return reduce(_fire, net, jnp.asarray(x))


def any_of(count: int) -> Units:
    """OR: one neuron with threshold 1.  bool (count,) -> bool (1,)"""
    return _unit([True] * count, [False] * count, 1)


def all_of(count: int) -> Units:
    """AND: one neuron with threshold count.  bool (count,) -> bool (1,)"""
    return _unit([True] * count, [False] * count, count)


def none_of(count: int = 1) -> Units:
    """NOT, and of several NOR: one neuron with threshold 0, which any input silences.  bool (count,) -> bool (1,)"""
    return _unit([False] * count, [True] * count, 0)


def exclusive_or() -> tuple[Units, Units]:
    """XOR of two: OR excites the last neuron, AND silences it.  bool (2,) -> bool (1,)"""
    both = Units(*(jnp.concatenate(parts, -1) for parts in zip(any_of(2), all_of(2))))
    return both, _unit([True, False], [False, True], 1)


def all_inputs(count: int) -> jax.Array:
    """Every pattern of count inputs, in the order of binary numbers: () -> bool (2^count, count)"""
    numbers = jnp.arange(2**count, dtype=jnp.int32)[:, None]
    return (numbers >> jnp.arange(count - 1, -1, -1, dtype=jnp.int32)[None]) % 2 == 1


def compile_table(table: ArrayLike) -> tuple[Units, Units]:
    """The net of any Boolean function, from its values at `all_inputs`.  bool (2^count,) -> a net of one output

    One hidden neuron for each pattern, excited by what is on in it and silenced by what is off; the last neuron fires
    if one does whose pattern is true.  Raises ShapeError unless there are 2, 4, 8, … values.
    """
    table = jnp.asarray(table)
    require_shape(table, None, name="table")
    count = len(table).bit_length() - 1
    if count < 1 or len(table) != 2**count:
        raise ShapeError(f"table must have a value for each pattern of inputs, 2, 4, 8, …, got {len(table)}")
    patterns = all_inputs(count).T
    hidden = Units(patterns.astype(jnp.int32), ~patterns, patterns.sum(0).astype(jnp.int32))
    return hidden, _unit(table, jnp.zeros_like(table), 1)


def _unit(excite: ArrayLike | list, inhibit: ArrayLike | list, threshold: int) -> Units:
    """A layer of one neuron."""
    column = lambda values, dtype: jnp.asarray(values, bool).astype(dtype)[:, None]
    return Units(column(excite, jnp.int32), column(inhibit, bool), jnp.full(1, threshold, jnp.int32))


def _fire(x: jax.Array, units: Units) -> jax.Array:
    require_shape(x, ..., len(units.excite))
    x = x.astype(jnp.int32)
    excited = x @ units.excite
    silenced = x @ units.inhibit.astype(jnp.int32) > 0
    return (excited >= jnp.broadcast_to(units.threshold, excited.shape)) & ~silenced
