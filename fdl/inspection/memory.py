"""How much memory a function takes, from its trace alone: nothing is compiled or computed."""

import math
from collections.abc import Callable
from typing import Any

from jax.extend.core import Jaxpr, Literal, jaxprs_in_params

from fdl.inspection.trace import trace


def peak_bytes(f: Callable, *specs: Any) -> int:
    """The most bytes of arrays that are alive at once in f(*specs), given arrays or `jax.ShapeDtypeStruct`s.

    Operations are taken one after the other, in the order of the trace; an argument is alive until its last use, as one
    that is donated is, and a result until the end.  A compiler fuses operations, orders them anew and gives single ones
    room to work in, so this is an estimate of what a compiled f takes, not a bound.

    >>> peak_bytes(lambda x: jnp.sum(x * 2), jax.ShapeDtypeStruct((1000,), "float32"))
    8000
    """
    jaxpr = trace(f, *specs).jaxpr
    return _peak(jaxpr, {v: _size(v) for v in [*jaxpr.constvars, *jaxpr.invars]})


def _peak(jaxpr: Jaxpr, alive: dict) -> int:
    """The most that is held at once, where `alive` says what of the arguments counts, by variable, and is let go."""
    last = {v: i for i, eqn in enumerate(jaxpr.eqns) for v in eqn.invars if not isinstance(v, Literal)}
    last |= {v: len(jaxpr.eqns) for v in jaxpr.outvars if not isinstance(v, Literal)}
    held = most = sum(alive.values())
    for i, eqn in enumerate(jaxpr.eqns):
        made = {v: _size(v) for v in eqn.outvars}
        inside = (_peak(inner, {}) for inner in jaxprs_in_params(eqn.params))
        most = max(most, held + max(sum(made.values()), *inside, 0))
        alive = alive | made
        ended = [v for v in alive if last.get(v, 0) <= i]
        held += sum(made.values()) - sum(alive.pop(v) for v in ended)
    return most


def _size(variable: Any) -> int:
    shape, dtype = getattr(variable.aval, "shape", ()), getattr(variable.aval, "dtype", None)
    return math.prod(shape) * dtype.itemsize if dtype is not None else 0
