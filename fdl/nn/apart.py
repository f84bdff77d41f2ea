"""A part of a program that XLA on a CPU computes apart from the rest."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.extend.mlir import ir
from jax.interpreters import ad, batching, mlir

apart_p = Primitive("fdl_apart")


def apart(function: Callable, *arrays: jax.Array) -> jax.Array:
    """function(*arrays), one array; in a program for a CPU as a call, see `as_call`, and else as if this were not here.

    Its derivatives are not apart.
    """
    return apart_p.bind(*arrays, jaxpr=jax.make_jaxpr(function)(*arrays))


def as_call(function: Callable) -> Callable:
    """A lowering rule for a primitive with one result: a call that XLA leaves a call, for `mlir.register_lowering`.

    What a call reads and returns lies in memory once.  Without it XLA on a CPU melts element-wise code into what uses
    it: a depthwise convolution, a sum of nine products, is computed again in each sum and slope of a batch norm behind
    it; the operand of a convolution is computed from all that made it while it is being turned; and a cache is copied
    for each that reads it once a token is written to it.
    """
    lower = mlir.lower_fun(lambda *args, **how: jax.jit(partial(function, **how))(*args), multiple_results=False)

    def rule(context, *args, **how):
        results = lower(context, *args, **how)
        call = ir.OpResult(results[0]).owner
        call.attributes["mhlo.frontend_attributes"] = ir.DictAttr.get({"inlineable": ir.StringAttr.get("false")})
        return results

    return rule


def _itself(*arrays: Any, jaxpr: ClosedJaxpr) -> Any:
    (out,) = jaxpr_as_fun(jaxpr)(*arrays)
    return out


def _differentiate(arrays, tangents, *, jaxpr):
    return jax.jvp(partial(_itself, jaxpr=jaxpr), arrays, tuple(map(ad.instantiate_zeros, tangents)))


def _batch(arrays, axes, *, jaxpr):
    return jax.vmap(partial(_itself, jaxpr=jaxpr), axes)(*arrays), 0


apart_p.def_impl(_itself)
apart_p.def_abstract_eval(lambda *types, jaxpr: jaxpr.out_avals[0])
ad.primitive_jvps[apart_p] = _differentiate
batching.primitive_batchers[apart_p] = _batch
mlir.register_lowering(apart_p, mlir.lower_fun(_itself, multiple_results=False))
mlir.register_lowering(apart_p, as_call(_itself), platform="cpu")
