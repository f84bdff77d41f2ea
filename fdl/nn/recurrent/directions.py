"""Recurrent layers side by side and one on another."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.nn.compose import named_parts, wire, wired
from fdl.nn.layer import Layer, Part, as_layer, layer
from fdl.nn.recurrent.cell import Cell
from fdl.nn.recurrent.unroll import unroll


def concatenate(*y: jax.Array) -> jax.Array:
    """Side by side along the last axis.  (..., a), (..., b) -> (..., a + b)"""
    return jnp.concatenate(y, -1)


@layer
def bidirectional(forward: Cell, backward: Cell, *, join: Callable = concatenate, carried: bool = False) -> Layer:
    """A cell that reads forward and one that reads in reverse.  (batch, time, ...) -> (batch, time, ...)

    join(forward, backward) of the outputs at each time, side by side by default.  Inputs and carried=True are those of
    `unroll`; the carry is {"forward": ..., "backward": ...}.
    """

    def read(x, carry=None, lengths=None, starts=None, *, forward, backward):
        carry = _carries(carry, ("forward", "backward"))
        ahead, carry["forward"] = forward(x, carry["forward"], lengths, starts)
        behind, carry["backward"] = backward(x, carry["backward"], lengths, starts)
        y = join(ahead, behind)
        return (y, carry) if carried else y

    return wire(read, forward=unroll(forward, carried=True), backward=unroll(backward, reverse=True, carried=True))


@layer
def stacked(*parts: Part, carried: bool = False, **named: Part) -> Layer:
    """Recurrent layers one on another, all with the same lengths and starts.  (batch, time, ...) -> (batch, time, ...)

    A part is a cell, or a layer made by `unroll`, `bidirectional` or `stacked`; any other layer or function is applied
    between them (dropout, norms).  Inputs and carried=True are those of `unroll`; the carry has that of each recurrent
    part under its name, which is given as in `serial` (lstm_0, lstm_1).
    Each layer runs over all times before the next begins, so that each projects its inputs in one product.
    """
    parts_by_name = named_parts(parts) | named
    runs = {name: _carrying(part) for name, part in parts_by_name.items()}

    def read(inputs, bound):
        x, carry, lengths, starts = (*inputs, None, None, None)[:4]
        carry = _carries(carry, [name for name, run in runs.items() if run])
        for name, part in bound.items():
            if name in carry:
                x, carry[name] = part(x, carry[name], lengths, starts)
            else:
                x = part(x)
        return (x, carry) if carried else x

    return wired(read, {name: run or parts_by_name[name] for name, run in runs.items()})


def _carrying(part: Part) -> Layer | None:
    """The recurrent layer that gives its carry too; None for a part that has none."""
    if isinstance(part, Cell):
        return unroll(part, carried=True)
    part = as_layer(part)
    if part.call and "carried" in part.call.bound.signature.parameters:
        return part.replace(carried=True)
    return None


def _carries(carry: dict | None, names) -> dict:
    """The carry of each part by name; None for all at the start."""
    if carry is None:
        return dict.fromkeys(names)
    if sorted(carry) != sorted(names):
        raise TreeError(f"the carry must hold {', '.join(names)}, it holds {', '.join(carry) or 'nothing'}")
    return dict(carry)
