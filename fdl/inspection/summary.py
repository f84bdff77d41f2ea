"""A model as a table of its parts, from its trace alone: no array is made and nothing is compiled."""

from typing import Any, NamedTuple

import jax

from fdl.checks import describe
from fdl.inspection.flops import PART, as_flops, operations
from fdl.inspection.probe import Probe, all_parts, around
from fdl.inspection.table import columns
from fdl.inspection.trace import trace
from fdl.nn.layer import Layer
from fdl.tree import Tree, count, nbytes


class Row(NamedTuple):
    """One part: how often it is called, on what, what it puts out, what it holds and what its calls cost together.

    inputs and output are those of its first call, of one repetition inside `repeat`; None where it is not called.
    A composite holds and costs what its parts do and what it does itself.
    """

    path: str
    layer: Layer
    calls: int
    inputs: tuple | None
    output: Any
    params: int
    param_bytes: int
    state: int
    flops: int


class Summary(NamedTuple):
    """The rows of all parts, outer before inner; the first, of path "", is the model itself.  Prints as a table.

    at_least is True where the operations are more than could be counted, see `flops`.
    """

    rows: tuple[Row, ...]
    at_least: bool

    def __str__(self) -> str:
        head = ("path", "layer", "calls", "input", "output", "params", "bytes", "FLOPs")
        total = self.rows[0]
        mark = "at least " if self.at_least else ""
        return (
            columns([head, *map(_cells, self.rows)], left=2)
            + f"\n{total.params:,} parameters ({_size(total.param_bytes)}), {total.state:,} values of state, "
            + f"{mark}{total.flops:,} FLOPs"
        )


def summary(model: Layer, *x: Any, train: bool = False) -> Summary:
    """What the model is made of, on inputs of these types: arrays or `jax.ShapeDtypeStruct`s.

    Each parameter is counted once, however often its part is called; operations are counted a call, see `flops`.
    Everything comes from tracing, so models of any size are summed up in seconds.

    >>> print(summary(nn.serial(nn.dense(4, 3), nn.relu), jax.ShapeDtypeStruct((8, 4), "float32")))
    path     layer                                     calls         input        output  params  bytes  FLOPs
    ----------------------------------------------------------------------------------------------------------
    (model)  serial(dense(in_dim=4, out_dim=3), relu)     ×1  float32[8,4]  float32[8,3]      15     60    216
    dense_0  dense(in_dim=4, out_dim=3)                   ×1  float32[8,4]  float32[8,3]      15     60    216
    relu_0   function(relu)                               ×1  float32[8,3]  float32[8,3]       0      0      0
    15 parameters (60 bytes), 0 values of state, 216 FLOPs
    """
    key = jax.eval_shape(jax.random.key, 0)
    params, state = jax.eval_shape(model.init, key)
    seen: dict[str, tuple] = {}
    named = around(model, "**", lambda path, part: _named(path, part, seen))
    run = lambda params, state, key, *x: named.apply(params, state, *x, key=key if train else None, train=train)
    found = operations(trace(run, params, state, key, *x).jaxpr)
    costs: dict[str, int] = {}
    for path, part in all_parts(model).items():  # a group of parts is not called itself: it costs what they do
        costs[path] = found["part", path] or sum(costs[f"{path}/{name}".strip("/")] for name in part.parts)
    rows = []
    for path, part in _outer_first(model).items():
        inputs, output = seen.get(path, (None, None))
        held, carried = _below(params, path), count(_below(state, path))
        calls, size, held_bytes = found["calls", path], count(held), nbytes(held)
        rows.append(Row(path, part, calls, inputs, output, size, held_bytes, carried, costs[path]))
    return Summary(tuple(rows), as_flops(found).at_least)


def _named(path: str, part: Layer, seen: dict[str, tuple]) -> Layer:
    """The part as a jitted function named by its path, so that it can be found in the trace of the model."""

    def apply(params, state, *x, key=None, train=False):
        def call():
            return part.apply(params, state, *x, key=key, train=train)

        call.__name__ = PART + path
        y, state = jax.jit(call)()
        seen.setdefault(path, (_types(x), _types(y)))
        return y, state

    return Probe(part.init, apply, part.parts, part.is_pure)


def _types(tree: Tree) -> Tree:
    """Shape and type in place of every array."""
    known = lambda x: hasattr(x, "shape") and hasattr(x, "dtype")
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if known(x) else x, tree)


def _outer_first(part: Layer, path: str = "") -> dict[str, Layer]:
    found = {path: part}
    for name, inner in part.parts.items():
        found |= _outer_first(inner, f"{path}/{name}".strip("/"))
    return found


def _below(tree: Tree, path: str) -> Tree:
    for name in path.split("/") if path else ():
        tree = tree.get(name, {})
    return tree


def _cells(row: Row) -> tuple[str, ...]:
    calls = f"×{row.calls}" if row.calls else ""
    shown = [row.path or "(model)", shorten(row.layer), calls, _show(row.inputs), _show(row.output)]
    return *shown, f"{row.params:,}", f"{row.param_bytes:,}", f"{row.flops:,}"


def _show(tree: Tree) -> str:
    text = ", ".join(describe(leaf) if hasattr(leaf, "dtype") else repr(leaf) for leaf in jax.tree.leaves(tree))
    return text if len(text) <= 48 else text[:47] + "…"


def shorten(layer: Layer, most: int = 48) -> str:
    """The call that made a layer, cut to so many letters; a layer made by hand, as a group is, shows its parts."""
    text = repr(layer) if layer.call else f"({', '.join(layer.parts)})" if layer.parts else layer.kind
    return text if len(text) <= most else text[: most - 1] + "…"


def _size(n: int) -> str:
    power = min(max(n.bit_length() - 1, 0) // 10, 3)
    return f"{n:,} bytes" if power == 0 else f"{n / 1024**power:,.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"
