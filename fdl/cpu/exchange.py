"""A traced program in which oneDNN computes what it does faster than XLA."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxpr_as_fun

from fdl.cpu.calls import usable
from fdl.cpu.product import is_worth_a_call, product_p
from fdl.cpu.sums import with_sums_behind

LOOK_INTO = (
    "checkpoint",
    "closed_call",
    "cond",
    "custom_jvp_call",
    "custom_vjp_call",
    "jit",
    "remat2",
    "scan",
    "while",
)


def with_calls(fn: Callable) -> Callable:
    """fn as a program that calls oneDNN, for `jax.jit`; fn itself where it cannot be called."""
    if not usable():
        return fn

    @wraps(fn)
    def exchanged(*args: Any, **kwargs: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, kwargs))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tracer)]  # all others are static

        def of_arrays(*arrays: jax.Array) -> Any:
            given = dict(enumerate(leaves)) | dict(zip(places, arrays))
            args, kwargs = jax.tree.unflatten(tree, given.values())
            return fn(*args, **kwargs)

        arrays = [leaves[i] for i in places]
        program, shapes = jax.make_jaxpr(of_arrays, return_shape=True)(*arrays)
        return jax.tree.unflatten(jax.tree.structure(shapes), jaxpr_as_fun(exchange(program))(*arrays))

    return exchanged


def exchange(program: ClosedJaxpr) -> ClosedJaxpr:
    """The same program with its operations exchanged, in its loops and branches too."""
    return program.replace(jaxpr=_exchange_in(program.jaxpr))


def _exchange_in(part: Any) -> Any:
    """What is a program, or several, with the operations inside exchanged; all else that an operation is told."""
    if isinstance(part, ClosedJaxpr):
        return exchange(part)
    if isinstance(part, Jaxpr):
        return part.replace(eqns=[*map(_exchanged, part.eqns)])
    return tuple(map(_exchange_in, part)) if type(part) is tuple else part


def _exchanged(eqn: JaxprEqn) -> JaxprEqn:
    if eqn.primitive.name == "fdl_contract":
        return eqn.replace(params=eqn.params | {"by_onednn": True})
    if eqn.primitive.name == "dot_general" and is_worth_a_call(eqn):
        return eqn.replace(primitive=product_p)
    if eqn.primitive.name == "scan":
        eqn = with_sums_behind(eqn)
    if eqn.primitive.name in LOOK_INTO:
        return eqn.replace(params={name: _exchange_in(value) for name, value in eqn.params.items()})
    return eqn
