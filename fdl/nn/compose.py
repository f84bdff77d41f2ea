"""Layers made of layers: a plain function over plain functions, with nothing threaded by hand."""

import inspect
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import get_opaque_trace_state

from fdl.checks import ShapeError, describe, require_shape
from fdl.nn.keep import keeping_costly
from fdl.nn.layer import Layer, Params, Part, State, as_layer, layer, locate


@layer
def wire(forward: Callable[..., Any], /, **parts: Part) -> Layer:
    """The layer that computes forward(*x, **parts), each part a function bound to its own params, state, key and mode.

    A part is a layer, a plain function, or a list or dict of parts, which arrives as a list or dict of functions.
    A part called twice uses the same parameters and draws fresh noise.  A bound part shows its `.params`.
    Raises TypeError where the names of the parts are not the last parameters of forward.
    """
    _require_parameters(forward, parts)
    return wired(lambda x, bound: forward(*x, **bound), parts)


@layer
def serial(*parts: Part, **named: Part) -> Layer:
    """One part after the other.  Parts are named by kind and ordinal (dense_0, dense_1), or by the keyword given."""
    parts_by_name = named_parts(parts) | named

    def forward(x, bound):
        first, *rest = bound.values() or (lambda *x: x[0],)
        y = first(*x)
        for part in rest:
            y = part(y)
        return y

    return wired(forward, parts_by_name)


@layer
def residual(*parts: Part, **named: Part) -> Layer:
    """x + serial(...)(x), the shortcut of https://arxiv.org/abs/1512.03385.  (shape) -> same shape"""
    return _shortcut(serial(*parts, **named))


def _shortcut(body: Layer) -> Layer:
    """x + body(x)"""

    def apply(params, state, x, *, key=None, train=False):
        y, state = body.apply(params, state, x, key=key, train=train)
        if y.shape != x.shape:
            raise ShapeError(f"the parts must keep the shape of their input, {x.shape} became {y.shape}")
        return x + y, state

    return _around(body, body.init, apply, _shortcut)


@layer
def parallel(*parts: Part, join: Callable | None = None, **named: Part) -> Layer:
    """Every part on the same input: the tuple of outputs, or join(*outputs)."""
    return wired(
        lambda x, bound: (join or _tuple)(*(part(*x) for part in bound.values())),
        named_parts(parts) | named,
    )


@layer
def repeat(part: Part, depth: int, *, unroll: int = 1) -> Layer:
    """The part depth times in a row, each time with parameters of its own, as one scan: (x, *rest) -> x of same shape.

    Parameters and state are stacked along a leading axis; the compiled program does not grow with depth.
    On a CPU the backward pass computes again what is cheap, see `costly`, unless a `remat` in the part tells otherwise.
    Further inputs (a mask) reach every repetition unchanged.
    A turn of the loop holds `unroll` repetitions; with all of them there is no loop, and a GPU need not copy what it
    keeps for the backward pass into stacks.  It compiles that many times as long.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    if unroll < 1:
        raise ValueError(f"unroll must be at least 1, got {unroll}")
    part = as_layer(part)

    def init(key):
        return jax.vmap(part.init)(_keys(key, depth))

    def apply(params, state, x, *rest, key=None, train=False):
        def body(x, carried):
            params, state, key = carried
            y, state = part.apply(params, state, x, *rest, key=key, train=train)
            if jax.tree.map(_type, y) != jax.tree.map(_type, x):
                raise ShapeError(f"a repeated part must keep the type of its input, {describe(x)} became {describe(y)}")
            return y, state

        keys = None if key is None else _keys(key, depth)
        turns = params, state, keys
        return jax.lax.scan(keeping_costly(body, part), x, turns, length=depth, unroll=min(unroll, depth))

    return _around(part, init, apply, lambda part: repeat(part, depth, unroll=unroll))


@layer
def each(part: Part, count: int) -> Layer:
    """The part count times side by side, each with parameters of its own and on its own slice of the leading axis.

    (count, shape) -> (count, shape of the part's output)
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    part = as_layer(part)

    def init(key):
        return jax.vmap(part.init)(_keys(key, count))

    def apply(params, state, x, *, key=None, train=False):
        require_shape(x, count, ...)
        run = lambda params, state, x, key: part.apply(params, state, x, key=key, train=train)
        return jax.vmap(run)(params, state, x, None if key is None else _keys(key, count))

    return _around(part, init, apply, lambda part: each(part, count))


@layer
def remat(part: Part, *, policy: Callable | None = None) -> Layer:
    """The part, its inner values computed again in the backward pass instead of kept.  https://arxiv.org/abs/1604.06174

    policy says what to keep all the same, see `jax.checkpoint_policies`.
    """
    part = as_layer(part)

    def apply(params, state, *x, key=None, train=False):
        run = lambda params, state, x, key: part.apply(params, state, *x, key=key, train=train)
        return jax.checkpoint(run, policy=policy)(params, state, x, key)

    return _around(part, part.init, apply, lambda part: remat(part, policy=policy))


class Bound:
    """A part inside a forward: a function of its inputs, bound to its place in params, state and keys."""

    def __init__(self, part: Layer, path: str, params: Params, state: State, key: jax.Array | None, train: bool):
        self.part, self.path, self.params, self.state, self.key, self.train = part, path, params, state, key, train
        self.calls = 0
        self.level = get_opaque_trace_state(convention="fdl")

    def __call__(self, *x: Any) -> Any:
        """The output of the part; its next state is kept for the composite to return."""
        key = self.key if self.key is None or not self.calls else jax.random.fold_in(self.key, self.calls)
        self.calls += 1
        try:
            self._require_same_level()
            with jax.named_scope(self.path):
                y, self.state = self.part.apply(self.params, self.state, *x, key=key, train=self.train)
            self._require_same_level()  # again, for state that it did not have before
            return y
        except Exception as error:
            locate(error, self.part, self.params, x, self.path)
            raise

    def _require_same_level(self) -> None:
        """State set under a nested transform would leak out of it, and a mask drawn there would repeat itself."""
        if self.part.is_pure or (not self.state and self.key is None):
            return
        if get_opaque_trace_state(convention="fdl") != self.level:
            what = "carries state" if self.state else "draws noise"
            raise TypeError(
                f"{self.part!r} {what} and was called inside a JAX transform of the forward; "
                "wrap the part instead: remat(part), repeat(part, depth)"
            )


def _around(part: Layer, init: Callable, apply: Callable, again: Callable[[Layer], Layer]) -> Layer:
    """A layer around one part, whose parts it shows as its own; again(part) puts it around another."""
    inside = part.rebuild
    rebuild = inside and (lambda parts: again(inside(parts)))
    return Layer(init, apply, part.parts, part.is_pure, rebuild)


def wired(
    forward: Callable[[tuple, dict], Any], parts: Mapping[str, Part], layers: Mapping[str, Layer] | None = None
) -> Layer:
    """The layer of forward(x, bound parts by name); the layers are those of the parts unless they were replaced."""
    layers = layers or {name: _layer_of(part) for name, part in parts.items()}

    def init(key):
        made = {name: part.init(_fold(key, name)) for name, part in layers.items()}
        params = {name: own for name, (own, _) in made.items() if own}
        return params, {name: own for name, (_, own) in made.items() if own}

    def apply(params, state, *x, key=None, train=False):
        bound = _bind(parts, layers, "", params, state, key, train)
        return forward(x, bound), _states(bound)

    is_pure = all(part.is_pure for part in layers.values())
    return Layer(init, apply, layers, is_pure, lambda layers: wired(forward, parts, layers))


def _layer_of(part: Part) -> Layer:
    children = _children(part)
    return as_layer(part) if children is None else wired(_refuse, children)


def _children(part: Part) -> Mapping[str, Part] | None:
    """The parts of a group by name; None for a single part."""
    if isinstance(part, list | tuple):
        return {str(i): child for i, child in enumerate(part)}
    return part if isinstance(part, Mapping) else None


def _bind(
    group: Any, layers: Mapping[str, Layer], path: str, params: Params, state: State, key: Any, train: bool
) -> Any:
    """The group with a Bound in place of each single part."""
    bound = {}
    for name, part in (_children(group) or {}).items():
        place = f"{path}/{name}".strip("/")
        own = params.get(name, {}), state.get(name, {}), None if key is None else _fold(key, name), train
        single = _children(part) is None
        bound[name] = Bound(layers[name], place, *own) if single else _bind(part, layers[name].parts, place, *own)
    return list(bound.values()) if isinstance(group, list | tuple) else bound


def _states(bound: Any) -> State:
    """The next state of every part that carries one."""
    if isinstance(bound, Bound):
        return bound.state
    states = {name: _states(part) for name, part in (_children(bound) or {}).items()}
    return {name: state for name, state in states.items() if state}


def named_parts(parts: Iterable[Part]) -> dict[str, Part]:
    """Parts by kind and ordinal among that kind, so that inserting one renames no part of another kind."""
    named, seen = {}, Counter()
    for part in parts:
        kind = part.kind if isinstance(part, Layer) else getattr(part, "__name__", type(part).__name__)
        named[f"{kind}_{seen[kind]}"] = part
        seen[kind] += 1
    return named


def _require_parameters(forward: Callable, parts: Mapping[str, Part]) -> None:
    """Raise TypeError unless the last parameters of forward are the names of the parts."""
    names = [p.name for p in inspect.signature(forward).parameters.values() if p.kind is not p.VAR_KEYWORD]
    unexpected = [name for name in parts if name not in names]
    if unexpected:
        raise TypeError(f"{forward.__name__} takes no part {unexpected[0]!r}; its parameters are {', '.join(names)}")
    inputs = [name for name in names if name not in parts]
    late = [name for i, name in enumerate(inputs) if names[i] != name]
    if late:
        raise TypeError(f"{forward.__name__} takes a part {late[0]!r} that was not given; inputs come before parts")


def _fold(key: jax.Array, name: str) -> jax.Array:
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def _keys(key: jax.Array, depth: int) -> jax.Array:
    return jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(depth))


def _type(x: Any) -> tuple:
    return jnp.shape(x), jnp.result_type(x)


def _tuple(*y: Any) -> tuple:
    return y


def _refuse(x: tuple, bound: dict) -> Any:
    raise TypeError(f"a group of parts is no function; call one of {', '.join(bound)}")
