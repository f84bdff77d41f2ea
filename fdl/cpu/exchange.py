"""A traced program in which oneDNN computes what it does faster than XLA."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Primitive, jaxpr_as_fun
from jax.interpreters import mlir

from fdl.cpu.calls import LEAST, on_one_device, product, usable
from fdl.cpu.unsaved import hold

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
        return eqn.replace(primitive=product_p, params=eqn.params | {"out": eqn.outvars[0].aval})
    if eqn.primitive.name in LOOK_INTO:
        return eqn.replace(params={name: _exchange_in(value) for name, value in eqn.params.items()})
    return eqn


def is_worth_a_call(eqn: JaxprEqn) -> bool:
    """Whether these are products of float32 matrices over two leading axes or more, and many of them.

    So multiply the heads of attention.  One leading axis may be that of runs trained side by side, each of which has
    the bits that it has alone.
    """
    types: list[Any] = [var.aval for var in (*eqn.invars, *eqn.outvars)]
    a, b, out = types
    (of_a, of_b), batch = eqn.params["dimension_numbers"]
    leading = tuple(range(a.ndim - 2))
    if {a.dtype, b.dtype, out.dtype} != {jnp.dtype("float32")} or not a.ndim == b.ndim == out.ndim >= 4:
        return False
    if [*map(tuple, batch)] != [leading, leading] or len(of_a) != 1 or min(*of_a, *of_b) < len(leading):
        return False
    return 2 * out.size * a.shape[of_a[0]] >= LEAST


# --- a product that is a call on one device, and XLA's own on several -----------------------------------------------

product_p = Primitive("fdl_product")


@product_p.def_abstract_eval
def _type(a, b, *, out, **_):
    return out


def _called(a, b, *, dimension_numbers, **_):
    of_a, of_b = dimension_numbers[0]
    return product(a, b, (of_a[0] == a.ndim - 2, of_b[0] == b.ndim - 1))


def _plain(a, b, *, out, **how):
    return lax.dot_general(a, b, **how)


def _lower(context, *args, **how):
    if not on_one_device(context):
        return mlir.lower_fun(_plain, multiple_results=False)(context, *args, **how)
    hold()
    return mlir.lower_fun(_called, multiple_results=False)(context, *args, **how)


mlir.register_lowering(product_p, _lower)
