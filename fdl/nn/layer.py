"""The heart: a layer is two pure functions.

    init(key)                                            -> (params, state)
    apply(params, state, *x, key=None, train=False)      -> (y, state)

`params` is what training changes by gradients, `state` what the layer carries besides (running moments, caches); both
are nested dicts of arrays with readable keys and no empty sub-dicts.  `key` is the only source of noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

import jax

from fdl.checks import TreeError, describe, require_key
from fdl.recipe import Recorded, recipe
from fdl.tree import flatten

Params: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Part: TypeAlias = "Layer | Callable | list | tuple | dict"


@jax.tree_util.register_static
@dataclass(frozen=True, eq=False, repr=False)
class Layer(Recorded):
    """Two pure functions and the parts they are made of.  A value: prints, compares, hashes and pickles by its call.

    `is_pure` says that it carries no state and draws no noise, so that any JAX transform may be put around it.
    `rebuild(parts)` is the same layer of other parts; see `rewire`.
    A Layer is a pytree without leaves: `jit`, `vmap` and `scan` take it as an argument.
    """

    init_function: Callable[[jax.Array], tuple[Params, State]]
    apply_function: Callable[..., tuple[Any, State]]
    parts: Mapping[str, "Layer"] = field(default_factory=dict)
    is_pure: bool = False
    rebuild: Callable[[Mapping[str, "Layer"]], "Layer"] | None = None

    def init(self, key: jax.Array) -> tuple[Params, State]:
        """Fresh (params, state) from one key; `jax.eval_shape(model.init, key)` gives their shapes alone."""
        require_key(key)
        return self.init_function(key)

    def apply(
        self, params: Params, state: State, *x: Any, key: jax.Array | None = None, train: bool = False
    ) -> tuple[Any, State]:
        """Output and next state.  An error in here says in which part, on which input, with which parameters."""
        try:
            _require_fit(self, params, state)
            if key is not None:
                require_key(key)
            return self.apply_function(params, state, *x, key=key, train=train)
        except Exception as error:
            locate(error, self, params, x)
            raise

    def part(self, path: str) -> "Layer":
        """The part with this path: model.part("decoder/attend")."""
        name, _, rest = path.partition("/")
        if name not in self.parts:
            raise TreeError(f"{self.kind} has no part {name!r}; its parts are {', '.join(self.parts) or 'none'}")
        return self.parts[name].part(rest) if rest else self.parts[name]

    @property
    def kind(self) -> str:
        """The name of the constructor: dense, serial, gpt."""
        return self.call.kind if self.call else "layer"


layer = recipe(Layer)  # the decorator of constructors of layers


def pure(init: Callable[[jax.Array], Params], apply: Callable[..., Any]) -> Layer:
    """The layer of init(key) -> params and apply(params, *x) -> y: no state, no noise, the same in training."""
    return Layer(
        lambda key: (init(key), {}),
        lambda params, state, *x, key=None, train=False: (apply(params, *x), state),
        is_pure=True,
    )


@layer
def function(f: Callable, /) -> Layer:
    """A plain function of arrays as a layer without parameters: function(relu).  Composites do this by themselves."""
    return pure(lambda key: {}, lambda params, *x: f(*x))


def as_layer(part: Any) -> Layer:
    """A layer as it is; a plain function as the layer that calls it."""
    if isinstance(part, Layer):
        return part
    if not callable(part):
        raise TypeError(f"a part must be a layer or a function, got {part!r}")
    return function(part)


def locate(error: Exception, what: Layer, params: Params, x: tuple, name: str = "") -> None:
    """Note on the error where it happened; each composite on the way out puts the name of the part in front."""
    path, fact, note = getattr(error, "where", ("", "", ""))
    if note:
        error.__notes__.remove(note)
    else:
        arrays = ", ".join(f"{leaf_path} {describe(leaf)}" for leaf_path, leaf in list(flatten(params).items())[:4])
        given = f" with {arrays}" if arrays and not what.parts else ""
        fact = f"{what!r} on {', '.join(map(describe, x)) or 'no input'}{given}"
    path = f"{name}/{path}".strip("/")
    note = f"in {path}: {fact}" if path else f"in {fact}"
    error.where = path, fact, note  # pyright: ignore[reportAttributeAccessIssue]
    error.add_note(note)


def _require_fit(what: Layer, params: Any, state: Any) -> None:
    """Raise TreeError unless these are dicts, of the shapes that this layer's own init would make."""
    for name, value in (("params", params), ("state", state)):
        if not isinstance(value, Mapping):
            raise TreeError(
                f"{name} must be the dict from init, got {describe(value)}; "
                f"write y, state = {what.kind}.apply(params, state, x)"
            )
    if what.parts:
        _require_names("params", params, what.parts)
        _require_names("state", state, what.parts)
        return
    shapes, carried = _expected(what)
    if {path: leaf.shape for path, leaf in flatten(params).items()} != shapes:
        have = ", ".join(f"{path} {leaf.shape}" for path, leaf in flatten(params).items()) or "nothing"
        want = ", ".join(f"{path} {shape}" for path, shape in shapes.items()) or "nothing"
        raise TreeError(f"params must hold {want}, they hold {have}; are they the params of another model?")
    if state.keys() != carried:
        raise TreeError(f"state must hold {sorted(carried) or 'nothing'}, it holds {sorted(state) or 'nothing'}")


def _require_names(name: str, tree: Mapping, parts: Mapping) -> None:
    unexpected = [key for key in tree if key not in parts]
    if unexpected:
        raise TreeError(
            f"{name} hold {unexpected[0]!r}, but the parts are {', '.join(parts)}; "
            f"are they the {name} of another model?"
        )


@lru_cache(maxsize=1024)
def _expected(what: Layer) -> tuple[dict[str, tuple], set[str]]:
    params, state = jax.eval_shape(what.init, jax.eval_shape(jax.random.key, 0))  # not one operation is traced
    return {path: leaf.shape for path, leaf in flatten(params).items()}, set(state)
