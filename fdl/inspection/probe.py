"""The one way to look into a model: put something around its parts, and a box for what they show into its state.

State is what parts hand on from call to call, so what is seen travels through `jit`, `grad`, `scan` and `checkpoint`
like any other array.  A part inside `repeat` is seen with a leading axis, one row a repetition.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from fdl.nn.layer import Layer, Params, State
from fdl.nn.rewire import map_parts, parts_of
from fdl.tree import Where, require_matches, stands_for

BOX = "(seen)"  # no part has this name, for a part is named by a keyword or by kind and ordinal

Look = Callable[[str, Callable, Params, State, tuple, Any], tuple[Any, State, Any]]
"""look(path, run, params, state, x, given) -> (y, state, seen), where run(params, state, *x) -> (y, state) is the part
and given what was laid ready for this call, or None."""


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Probe(Layer):
    """A part with something around its calls.  It takes the state as it comes, which holds a box besides."""

    def apply(
        self, params: Params, state: State, *x: Any, key: jax.Array | None = None, train: bool = False
    ) -> tuple[Any, State]:
        """Output and next state; the part inside checks what it gets."""
        return self.apply_function(params, state, *x, key=key, train=train)


def all_parts(model: Layer) -> dict[str, Layer]:
    """Every part by path, inner parts first; the model itself has the path ""."""
    return parts_of(model) | {"": model}


def around(model: Layer, where: Where, change: Callable[[str, Layer], Layer]) -> Layer:
    """The model with change(path, part) in place of every part meant, itself included.  See `fdl.nn.rewire`."""
    parts = all_parts(model)
    require_matches(parts, where)
    meant = {path for path, part in parts.items() if stands_for(where, path, part)}
    rewired = map_parts(model, lambda path, part: change(path, part) if path in meant else part)
    return change("", rewired) if "" in meant else rewired


def watch(
    model: Layer,
    where: Where,
    look: Look,
    params: Params,
    state: State,
    *x: Any,
    key: jax.Array | None = None,
    train: bool = False,
    given: Mapping[str, tuple] | None = None,
) -> tuple[Any, State, dict[str, tuple]]:
    """The model with `look` at each part meant: (y, state, {path: what was seen, call by call}).

    y and state are those of the model itself.  given holds for a path one value a call.  Parts that were not called
    have no entry, and groups of parts never have.
    """
    parts, given, forms = all_parts(model), given or {}, {}
    paths = [path for path, part in parts.items() if stands_for(where, path, part)]
    probed = around(model, where, lambda path, part: _watched(path, part, look, given.get(path, ()), forms))
    y, after = probed.apply(params, _with_boxes(state, given), *x, key=key, train=train)
    after, found = _without_boxes(after)
    read = lambda path: tuple(_unpacked(form, found[path]["seen"][str(call)]) for call, form in forms[path].items())
    return y, after, {path: read(path) for path in paths if path in found}


def by_call(seen: Mapping[str, tuple]) -> dict[str, Any]:
    """One entry a call: the first under its path, the second under path#2, and so on."""
    named = lambda path, n: path if n == 0 else f"{path}#{n + 1}"
    return {named(path, n): value for path, calls in seen.items() for n, value in enumerate(calls)}


def _watched(path: str, part: Layer, look: Look, given: tuple, forms: dict[str, dict[int, Any]]) -> Layer:
    """The part with look around its calls; forms notes, for each path and call, what form the thing seen has."""

    def apply(params, state, *x, key=None, train=False):
        own = {name: value for name, value in state.items() if name != BOX}
        box = {"seen": {}, "given": {}} | state.get(BOX, {})
        run = lambda params, state, *x: part.apply(params, state, *x, key=key, train=train)
        call, ready = len(box["seen"]), None
        if given:
            form, leaves = jax.tree.structure(given[call]), box["given"].get(str(call), {})
            if len(leaves) != form.num_leaves:  # a composite that keeps the state of this part to itself
                return run(params, own, *x)
            ready = _unpacked(form, leaves)
        y, own, seen = look(path, run, params, own, x, ready)
        forms.setdefault(path, {})[call] = jax.tree.structure(seen)
        counted = _packed(seen) | {"called": jnp.zeros((), bool)}  # never empty, or the call would be lost
        return y, own | {BOX: box | {"seen": box["seen"] | {str(call): counted}}}

    return Probe(part.init, apply, part.parts)


def _packed(tree: Any) -> dict[str, jax.Array]:
    """A tree as a flat dict of arrays, as states are."""
    return {str(i): jnp.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def _unpacked(form: Any, leaves: Mapping[str, jax.Array]) -> Any:
    return form.unflatten([leaves[str(i)] for i in range(form.num_leaves)])


def _with_boxes(state: State, given: Mapping[str, tuple]) -> State:
    filled = jax.tree.map(lambda leaf: leaf, state)
    for path, calls in given.items():
        node = filled
        for name in path.split("/") if path else ():
            node = node.setdefault(name, {})
        node[BOX] = {"given": {str(call): _packed(value) for call, value in enumerate(calls)}}
    return filled


def _without_boxes(state: State, path: str = "") -> tuple[State, dict[str, Any]]:
    """The state without its boxes and without the dicts that held nothing else, and the boxes by path."""
    kept, found = {}, {path: state[BOX]} if BOX in state else {}
    for name, value in state.items():
        if name == BOX:
            continue
        if isinstance(value, dict):
            value, inner = _without_boxes(value, f"{path}/{name}".strip("/"))
            found |= inner
            if not value:
                continue
        kept[name] = value
    return kept, found
