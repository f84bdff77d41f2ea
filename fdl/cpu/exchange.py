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


def exchange(part: Any) -> Any:
    """A program, or several, with their operations exchanged, in loops and branches too; all else as it is."""
    if isinstance(part, Jaxpr):  # of JAX 0.12 on, ClosedJaxpr is another name of it
        return part.replace(eqns=[*map(_exchanged, part.eqns)])
    if isinstance(part, ClosedJaxpr):
        return part.replace(jaxpr=exchange(part.jaxpr))
    return tuple(map(exchange, part)) if type(part) is tuple else part


def _exchanged(eqn: JaxprEqn) -> JaxprEqn:
    if eqn.primitive.name == "fdl_contract":
        return eqn.replace(params=eqn.params | {"by_onednn": True})
    if eqn.primitive.name == "dot_general" and is_worth_a_call(eqn):
        return eqn.replace(primitive=product_p)
    if eqn.primitive.name == "scan":
        eqn = with_sums_behind(eqn)
    if eqn.primitive.name in LOOK_INTO:
        return eqn.replace(params={name: exchange(value) for name, value in eqn.params.items()})
    return eqn
