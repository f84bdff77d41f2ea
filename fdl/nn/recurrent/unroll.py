"""A cell run over time: products for the inputs of all times, then one loop, or two for many steps."""

from functools import partial
from operator import itemgetter
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fdl.checks import DtypeError, describe, require_integer, require_shape
from fdl.compile import on_cpu
from fdl.nn.layer import Layer, Params, layer
from fdl.nn.recurrent.cell import Carry, Cell, fit, type_of
from fdl.nn.recurrent.gates import KEPT

LONG = 32  # steps from which two loops take less time than one


@layer
def unroll(cell: Cell, *, reverse: bool = False, carried: bool = False, cache: tuple[int, int] | None = None) -> Layer:
    """A cell at every time.  (batch, time, ...) -> (batch, time, ...)

    (x, carry, lengths, starts) -> y, or (y, last carry) with carried=True; the params are those of the cell.
    carry is that before the first step, zeros unless given.  lengths, int (batch,), of padded sequences: further steps
    leave the carry and put out zeros; below 0 counts as 0, beyond time as time.  starts, bool (batch, time), is True
    where a new sequence begins, with a carry of zeros.  reverse reads from the last valid step to the first; outputs
    stay at their times.

    Truncated backpropagation through time is a loop of the user's own over chunks:

        y, carry = run.apply(params, {}, x[:, a:b], jax.lax.stop_gradient(carry))[0]

    With cache=(batch, length), as `cached` sets it, the state holds the carry and each call goes on where the last
    ended: one token at a time in generation, or truncated backpropagation by a usual train step (any length).
    Raises TreeError for a carry of another cell or batch, ShapeError, DtypeError; ValueError for a reversed cache.
    """
    if not isinstance(cell, Cell):
        raise TypeError(f"unroll takes a cell, such as lstm(32, 64), got {cell!r}")
    if cache and reverse:
        raise ValueError("reading in reverse needs the future, which a cache does not hold; cache forward layers only")
    if cache and len(cell.shape) > 1:
        raise ValueError(f"a cache knows no space, which {cell!r} needs; hand on the carry with carried=True")

    def init(key):
        params, state = cell.init(key)
        return params, state | {"carry": cell.start(cache[:1])} if cache else state

    def apply(params, state, x, carry=None, lengths=None, starts=None, *, key=None, train=False):
        hint = "a recurrent layer reads (batch, time, ...); for one step call the cell itself"
        require_shape(x, None, None, *cell.shape, hint=hint if jnp.ndim(x) != len(cell.shape) + 2 else "")
        before = state.get("carry") if carry is None else carry
        after, y = _run(cell, params, x, before, _valid(x, lengths), _begins(x, starts, reverse), reverse)
        if cache:
            state = {"carry": fit(after, state["carry"])}
        return ((y, after) if carried else y), state

    return Layer(init, apply, is_pure=cache is None)


def _run(
    cell: Cell, params: Params, x: jax.Array, before: Carry | None, valid: Any, begins: Any, reverse: bool
) -> tuple[Carry, jax.Array]:
    """The carry after all steps, and the outputs (batch, time, ...)."""
    if valid is not None:
        x = _where(valid, x, jnp.zeros_like(x))  # no NaN of the padding reaches a gradient

    def over_time(tree):
        """Time first, for each loop."""
        in_time = jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), tree)
        return [jax.tree.map(itemgetter(part), in_time) for part in _parts(x.shape[1], reverse)]

    z = [cell.project(params, part) for part in over_time(x)]
    start = cell.start((x.shape[0], *x.shape[2:-1]), type_of(z))
    params, start, carry = _vary_alike((params, start, fit(before, start)), (z, valid, begins))

    # The backward pass computes a step again from its carry and its gates: no product is taken twice.
    @partial(jax.checkpoint, prevent_cse=False, policy=jax.checkpoint_policies.save_only_these_names(KEPT))
    def body(carry, now):
        z, valid, begins = now
        kept = carry if begins is None else _where(begins, start, carry)
        after, y = cell.step(params, kept, z)
        if valid is None:
            return after, y
        return _where(valid, after, carry), _where(valid, y, jnp.zeros_like(y))

    outputs = []
    for now in zip(z, over_time(valid), over_time(begins)):
        carry, y = lax.scan(body, carry, now, reverse=reverse)
        outputs.append(jnp.moveaxis(y, 0, 1))
    return carry, jnp.concatenate(outputs[::-1] if reverse else outputs, 1)


def _parts(time: int, reverse: bool) -> list[slice]:
    """The loops that the steps are taken in, first things first.

    Two on a CPU: what can be computed for all steps of one at once, as the gradients of kernels, is computed beside the
    other, whose small operations keep no more than one core busy.
    """
    half = time // 2 if on_cpu() and time >= LONG else 0
    parts = [slice(0, half), slice(half, time)] if half else [slice(0, time)]
    return parts[::-1] if reverse else parts


def _valid(x: jax.Array, lengths: Any) -> jax.Array | None:
    """Which steps (batch, time) are not padding."""
    if lengths is None:
        return None
    require_integer(lengths, "lengths", "how many steps of each example are valid")
    require_shape(lengths, x.shape[0], name="lengths", hint="one for each example of the batch")
    return jnp.arange(x.shape[1], dtype=jnp.int32)[None] < jnp.asarray(lengths).astype(jnp.int32)[:, None]


def _begins(x: jax.Array, starts: Any, reverse: bool) -> jax.Array | None:
    """The steps (batch, time) before which the carry is forgotten."""
    if starts is None:
        return None
    if jnp.result_type(starts) != jnp.bool_:
        raise DtypeError(f"starts must be boolean, got {describe(starts)}; compare, e.g. starts=positions == 0")
    require_shape(starts, *x.shape[:2], name="starts", hint="one for each step: (batch, time)")
    # In reverse a sequence is entered at its last step, the one before the next sequence starts.
    return jnp.roll(starts, -1, 1).at[:, -1:].set(False) if reverse else jnp.asarray(starts)


def _where(mask: jax.Array, yes: Any, no: Any) -> Any:
    """Leaf by leaf, by a mask over the leading axes."""
    spread = lambda a: mask.reshape(mask.shape + (1,) * (a.ndim - mask.ndim))
    return jax.tree.map(lambda a, b: jnp.where(spread(a), a, b), yes, no)


def _vary_alike(tree: Any, others: Any) -> Any:
    """Inside shard_map, let the tree vary over the mesh axes of all: a loop must keep the type of its carry.

    That the parameters vary before the loop has their gradients summed over the mesh once, and not at every step.
    """
    varying = lambda a: jax.typeof(a).manual_axis_type.varying
    axes = frozenset().union(*map(varying, jax.tree.leaves((tree, others))))
    return jax.tree.map(lambda a: lax.pcast(a, tuple(axes - varying(a)), to="varying"), tree)
