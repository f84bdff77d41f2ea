"""Products as a primitive: on one device a call of oneDNN, on several XLA's own."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn, Primitive
from jax.interpreters import mlir

from fdl.cpu.calls import on_one_device, pays, product
from fdl.cpu.unsaved import hold

product_p = Primitive("fdl_product")


def is_worth_a_call(eqn: JaxprEqn) -> bool:
    """Whether these are products of float32 matrices over two leading axes or more, and many of them.

    So multiply the heads of attention.  One leading axis may be that of runs trained side by side, each of which has
    the bits that it has alone.
    """
    types: list[Any] = [var.aval for var in (*eqn.invars, *eqn.outvars)]
    a, b, out = types
    (of_a, of_b), batch = eqn.params["dimension_numbers"]
    leading = tuple(range(a.ndim - 2))
    if not a.ndim == b.ndim == out.ndim >= 4:
        return False
    if [*map(tuple, batch)] != [leading, leading] or len(of_a) != 1 or min(*of_a, *of_b) < len(leading):
        return False
    return pays(2 * out.size * a.shape[of_a[0]], a, b, out)


def product_of_all(a: jax.Array, b: jax.Array, *, dimension_numbers: Any, **how: Any) -> jax.Array:
    """The sum over the first axis of products that are told how to multiply without it.

    Sums over rows, as of gradients of kernels, are a call, for which XLA by itself would turn a copy.  What one matrix
    costs decides: runs trained side by side multiply as each does alone.
    """
    terms, leading = dimension_numbers
    axis = len(leading[0])
    if a.ndim == b.ndim == axis + 3 and terms == ((axis,), (axis,)):
        a, b = (jnp.moveaxis(x, 0, axis).reshape(*x.shape[1 : axis + 1], -1, x.shape[-1]) for x in (a, b))
        called = pays(2 * a.shape[-2] * a.shape[-1] * b.shape[-1], a, b)
        return (product_p if called else lax.dot_general_p).bind(a, b, dimension_numbers=dimension_numbers, **how)
    behind = lambda pair, *first: tuple((*first, *(axis + 1 for axis in of)) for of in pair)
    return lax.dot_general_p.bind(a, b, dimension_numbers=(behind(terms, 0), behind(leading)), **how)


@product_p.def_abstract_eval
def _type(a, b, **how):
    return lax.dot_general_p.abstract_eval(a, b, **how)[0]


def _called(a, b, *, dimension_numbers, **_):
    of_a, of_b = dimension_numbers[0]
    return product(a, b, (of_a[0] == a.ndim - 2, of_b[0] == b.ndim - 1))


def _lower(context, *args, **how):
    if not on_one_device(context):
        return mlir.lower_fun(lax.dot_general_p.bind, multiple_results=False)(context, *args, **how)
    hold()
    return mlir.lower_fun(_called, multiple_results=False)(context, *args, **how)


mlir.register_lowering(product_p, _lower)
