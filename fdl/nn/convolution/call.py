"""The lowering of a function as a call that XLA leaves a call."""

from collections.abc import Callable
from functools import partial

import jax
from jax.extend.mlir import ir
from jax.interpreters import mlir


def as_call(function: Callable) -> Callable:
    """A lowering rule for a primitive with one result, for `mlir.register_lowering`.

    What a call reads and returns lies in memory once.  Without it XLA on a CPU melts element-wise code into what uses
    it: a depthwise convolution, a sum of nine products, is computed again in each sum and slope of a batch norm behind
    it, and the operand of a convolution is computed from all that made it while it is being turned.
    """
    lower = mlir.lower_fun(lambda *args, **how: jax.jit(partial(function, **how))(*args), multiple_results=False)

    def rule(context, *args, **how):
        results = lower(context, *args, **how)
        call = ir.OpResult(results[0]).owner
        call.attributes["mhlo.frontend_attributes"] = ir.DictAttr.get({"inlineable": ir.StringAttr.get("false")})
        return results

    return rule
