"""Configuration is a value: what a constructor makes prints, compares, hashes and pickles as the call that made it.

>>> @recipe(Function)
... def constant(value):
...     return lambda step: value
>>> constant(0.1)
constant(value=0.1)
>>> constant(0.1) == constant(value=0.1)
True
"""

import functools
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np

P = ParamSpec("P")
K = TypeVar("K", bound="Recorded")


@dataclass(frozen=True, eq=False, repr=False)
class Call:
    """One call of a constructor: which, and with what."""

    constructor: Callable
    bound: inspect.BoundArguments

    @functools.cached_property
    def arguments(self) -> tuple:
        """(name or None, value) of every argument that differs from its default, in the order of the signature."""
        found = []
        for name, value in self.bound.arguments.items():
            parameter = self.bound.signature.parameters[name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                found += [(None, item) for item in value]
            elif parameter.kind is parameter.VAR_KEYWORD:
                found += value.items()
            elif parameter.default is parameter.empty or _freeze(value) != _freeze(parameter.default):
                found.append((None if parameter.kind is parameter.POSITIONAL_ONLY else name, value))
        return tuple(found)

    @functools.cached_property
    def identity(self) -> tuple:
        """What equal calls have in common, hashable."""
        return self.constructor, _freeze(self.arguments)

    def __repr__(self) -> str:
        shown = (_show(value) if name is None else f"{name}={_show(value)}" for name, value in self.arguments)
        return f"{self.kind}({', '.join(shown)})"

    @property
    def kind(self) -> str:
        """The name of the constructor."""
        return self.constructor.__name__


@dataclass(frozen=True, eq=False, repr=False)
class Recorded:
    """A value that knows the call that made it.  Made by hand, it is equal to itself alone and does not pickle."""

    call: Call | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, made: Any) -> Self:
        """What a constructor returned, as this kind of value."""
        if not isinstance(made, cls):
            raise TypeError(f"the constructor must return a {cls.__name__}, got {type(made).__name__}")
        return made

    def replace(self, **changes: Any) -> Self:
        """What the same constructor makes of these arguments and its other ones."""
        if self.call is None:
            raise TypeError(f"{self!r} does not know its constructor; make it in a decorated function")
        signature, arguments = self.call.bound.signature, dict(self.call.bound.arguments)
        further = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)
        for name, value in changes.items():
            if name in signature.parameters and name != further:
                arguments[name] = value
            elif further:
                arguments[further] = arguments.get(further, {}) | {name: value}
            else:
                raise TypeError(f"{self.call.kind} has no {name!r}; it has {', '.join(signature.parameters)}")
        bound = inspect.BoundArguments(signature, arguments)  # pyright: ignore[reportArgumentType]
        return self.call.constructor(*bound.args, **bound.kwargs)

    def __repr__(self) -> str:
        return repr(self.call) if self.call else f"{type(self).__name__}(...)"

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Recorded) and bool(self.call and other.call) and _identity(self) == _identity(other)

    def __hash__(self) -> int:
        return hash(_identity(self))

    def __reduce__(self):
        if self.call is None:
            raise pickle.PicklingError(f"{self!r} does not know its constructor; make it in a decorated function")
        return _remake, (self.call.constructor, self.call.bound.args, self.call.bound.kwargs)


@dataclass(frozen=True, eq=False, repr=False)
class Function(Recorded):
    """A pure function that knows the call that made it: an initializer, a schedule."""

    function: Callable

    @classmethod
    def of(cls, made: Any) -> Self:
        """A plain function as a recorded one."""
        return made if isinstance(made, cls) else cls(made)

    def __call__(self, *args, **kwargs):
        """What the function returns."""
        return self.function(*args, **kwargs)


def recipe(kind: type[K]) -> Callable[[Callable[P, Any]], Callable[P, K]]:
    """Decorate a constructor so that what it makes is a `kind` that remembers the call."""

    def decorate(constructor: Callable[P, Any]) -> Callable[P, K]:
        """The constructor; what it makes remembers the constructor and its arguments."""
        signature = inspect.signature(constructor)

        @functools.wraps(constructor)
        def make(*args: P.args, **kwargs: P.kwargs) -> K:
            made = kind.of(constructor(*args, **kwargs))
            return replace(made, call=Call(make, signature.bind(*args, **kwargs)))

        return make

    return decorate


def _identity(value: Recorded):
    return value.call.identity if value.call else id(value)


def _remake(constructor: Callable, args: tuple, kwargs: dict) -> Any:
    return constructor(*args, **kwargs)


def _freeze(value: Any) -> Any:
    """A hashable stand-in that is equal exactly when the values are; True and 1 and 1.0 stay apart."""
    if isinstance(value, list | tuple):
        return type(value).__name__, tuple(map(_freeze, value))
    if isinstance(value, dict):
        return "dict", tuple((name, _freeze(item)) for name, item in value.items())
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        array = np.asarray(value)
        return "array", array.shape, str(array.dtype), array.tobytes()
    return type(value), value


def _show(value: Any) -> str:
    if isinstance(value, list | tuple):
        inside = ", ".join(map(_show, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name!r}: {_show(item)}" for name, item in value.items()) + "}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, value.shape))}]"
    if isinstance(value, Recorded):
        return repr(value)
    return getattr(value, "__name__", None) or repr(value)
