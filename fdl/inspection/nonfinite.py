"""Where the first NaN or Inf comes from."""

import itertools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from fdl.inspection.event import Event, events
from fdl.inspection.probe import all_parts, watch
from fdl.inspection.summary import shorten
from fdl.inspection.tap import is_float, tap
from fdl.inspection.trace import on_arrays
from fdl.nn.layer import Layer, Params, State
from fdl.tree import Tree, Where, flatten, require_matches, stands_for


class NonFinite(NamedTuple):
    """What was not finite first, and how much of it.  Prints as a sentence.

    kind is "input", "params", "state" (they came so), "forward", "backward" (a part made it) or "loss" (the loss did).
    path names the part, for "params" and "state" the leaf; repetition counts from 0, as the stacked parameters do.
    """

    kind: Literal["input", "params", "state", "forward", "backward", "loss"]
    fact: str
    path: str
    layer: Layer | None
    call: int
    repetition: tuple[int, ...]
    nan: int
    inf: int
    size: int

    def __str__(self) -> str:
        counts = f"{self.nan:,} NaN and {self.inf:,} Inf of {self.size:,} values"
        call = f" (call {self.call + 1})" if self.call else ""
        repetition = f" (repetition {', '.join(map(str, self.repetition))})" if self.repetition else ""
        layer = f": {shorten(self.layer)}" if self.layer else ""
        inside = ", between its parts" if self.layer and self.layer.parts else ""
        return f"{self.kind}: {self.path or 'the model'}{call}{repetition}{layer} {self.fact.format(counts)}{inside}"


def find_nonfinite(
    model: Layer,
    params: Params,
    state: State,
    *x: Any,
    loss: Callable[[Any], jax.Array] | None = None,
    where: Where = "**",
    key: jax.Array | None = None,
    train: bool = False,
) -> NonFinite | None:
    """The first part whose output or gradient is NaN or infinite while all it was given is finite; None if all is well.

    All is well where the output of the model is finite or, given loss(y) -> scalar, the loss and its gradients by the
    parameters are: an infinity inside that does no harm is no finding.  Inner parts come before the parts around them.
    Backward, it is the first part in the order of the backward pass to turn a finite gradient of its output into one of
    its input or parameters that is not; where that comes of an infinity forward, that one's origin is named instead.
    See `capture` for where.

    After train.NonFiniteError, run to the step that it names once more (the same bits) and ask here:

    >>> before, _ = train.run(step, initial, batches, error.step)
    >>> batch = batches(error.step)
    >>> loss = lambda y: jnp.mean(losses.cross_entropy(y, batch["label"]))
    >>> print(find_nonfinite(model, before.params, before.state, batch["image"], loss=loss, train=True))
    forward: blocks/norm (repetition 3): rms_norm(dim=64) gave 64 NaN and 0 Inf of 8,192 values from finite inputs
    """
    parts = all_parts(model)
    require_matches(parts, where)
    seen_at = lambda path, part: not path or stands_for(where, path, part)  # the model itself always
    final = loss or (lambda y: y)
    clock = itertools.count()

    def look(path, run, params, state, x, given):
        start = next(clock)
        if given is not None:
            params, x = tap(census, params, given["params"]), tap(census, x, given["input"])
        y, after = run(params, state, *x)
        y = y if given is None else tap(census, y, given["output"])
        places = jax.lax.stop_gradient({"params": params, "state": state, "input": x, "output": y})
        measured = {name: census(tree) for name, tree in places.items()}
        return y, after, {"span": (jnp.asarray(start), jnp.asarray(next(clock))), "measured": measured}

    def forward(sinks, params, state, x, key):
        y, _, seen = watch(model, seen_at, look, params, state, *x, key=key, train=train, given=sinks)
        return final(y), seen

    call, arrays = on_arrays(lambda *args: forward(None, *args), params, state, x, key)
    end, seen = jax.jit(call)(*arrays)
    first = lambda: _first_forward(parts, events(seen), params, state, x)
    if _bad(census(end)):
        return first() or _given("loss", "the loss", census(end), "has {} for a finite output")
    if loss is None:
        return None
    zeros = lambda record: jax.tree.map(jnp.zeros_like, record["measured"])
    sinks = {path: tuple(map(zeros, calls)) for path, calls in seen.items()}
    call, arrays = on_arrays(jax.grad(forward, has_aux=True), sinks, params, state, x, key)
    gradients, again = jax.jit(call)(*arrays)
    return _first_backward(parts, events(again, gradients), bool(jax.tree.leaves(params)), first)


def census(tree: Tree) -> jax.Array:
    """How many floating-point values are NaN, how many infinite, and how many there are."""
    leaves = list(filter(is_float, jax.tree.leaves(tree)))
    total = lambda test: sum((jnp.sum(test(leaf), dtype=jnp.float32) for leaf in leaves), jnp.zeros(()))
    return jnp.stack([total(jnp.isnan), total(jnp.isinf), jnp.asarray(sum(leaf.size for leaf in leaves), jnp.float32)])


def _bad(counts) -> bool:
    return bool(counts[0] + counts[1] > 0)


def _first_forward(parts: dict, found: list[Event], params: Tree, state: Tree, x: tuple) -> NonFinite | None:
    for event in found:
        got = event.forward
        if not _bad(got["output"]):
            continue
        for kind, tree in (("params", params), ("state", state)):
            if _bad(got[kind]):
                return _held(kind, tree, event)
        if not _bad(got["input"]):
            return _finding("forward", event, parts, got["output"], "gave {} from finite inputs")
        if _bad(census(x)):
            return _given("input", "the input of the model", census(x))
    return None


def _first_backward(parts: dict, found: list[Event], has_params: bool, forward: Callable) -> NonFinite | None:
    last = found[-1]
    if not _bad(last.backward["params" if has_params else "input"]):
        return None
    if _bad(last.backward["output"]):
        return _given("loss", "the gradient of the loss by the output of the model", last.backward["output"])
    whose = {"params": "parameters", "input": "input"}
    turned = (e for e in found if not _bad(e.backward["output"]) and any(_bad(e.backward[name]) for name in whose))
    event = next(turned, last)
    # An infinity that did no harm forward, as tanh hides it, may do it here.
    hidden = forward() if any(map(_bad, event.forward.values())) else None
    if hidden:
        return hidden
    name = next(name for name in whose if _bad(event.backward[name]))
    fact = f"gave a gradient of its {whose[name]} with {{}} for a finite one of its output"
    return _finding("backward", event, parts, event.backward[name], fact)


def _finding(kind, event: Event, parts: dict, counts, fact: str) -> NonFinite:
    layer = parts[event.path]
    return NonFinite(kind, fact, event.path, layer, event.call, event.repetition, *map(int, counts))


def _held(kind, tree: Tree, event: Event) -> NonFinite:
    """The first leaf of this part, in this repetition, that is not finite."""
    under = f"{event.path}/" if event.path else ""
    of_this = lambda leaf: leaf[event.repetition] if event.repetition else leaf
    found = {path: census(of_this(leaf)) for path, leaf in flatten(tree).items() if path.startswith(under)}
    path = next(path for path, counts in found.items() if _bad(counts))
    return NonFinite(kind, "has {}", path, None, 0, event.repetition, *map(int, found[path]))


def _given(kind, place: str, counts, fact: str = "has {}") -> NonFinite:
    return NonFinite(kind, fact, place, None, 0, (), *map(int, counts))
