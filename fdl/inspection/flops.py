"""Floating-point operations of a function, counted in its trace: nothing is compiled or computed.

A multiplication and the addition of its product are two operations.  Products of matrices and convolutions are counted
as the textbooks do, padding included; an elementwise function of floating-point numbers is one operation a result, a
reduction one a value that goes in.  Moving, comparing and converting numbers, and integers, are free.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.extend.core import Jaxpr, jaxprs_in_params

from fdl.inspection.trace import trace

FREE, REDUCTIONS, WINDOWS, SOLVERS = map(
    str.split,
    (
        """
        all_gather all_to_all bitcast_convert_type broadcast_in_dim clone concatenate convert_element_type copy copy_p
        device_put dynamic_slice dynamic_update_slice expand_dims fdl_channel_spread gather imag iota
        optimization_barrier pad pbroadcast ppermute pvary real reduce_precision reshape rev scatter select_n
        sharding_constraint slice sort split squeeze stop_gradient top_k transpose
        """,
        """
        argmax argmin cumlogsumexp cummax cummin cumprod cumsum fdl_channel_sum pmax pmin psum reduce reduce_max
        reduce_min reduce_prod reduce_scatter reduce_sum
        """,
        "reduce_window reduce_window_max reduce_window_min reduce_window_sum",
        "eig eigh hessenberg householder_product lu qr schur svd tridiagonal tridiagonal_solve",
    ),
)
PART = "part of the model: "  # a jitted function of this name stands for a part, see summary.py


class Flops(NamedTuple):
    """The number of floating-point operations, in all and by primitive.

    at_least is True where some of them are not known before running: a loop of unknown length counts as one round, an
    operation without a rule as one a result.
    """

    total: int
    by_primitive: dict[str, int]
    at_least: bool


def flops(f: Callable, *specs: Any) -> Flops:
    """The floating-point operations of f(*specs), given arrays or `jax.ShapeDtypeStruct`s, or trees of them.

    Of the branches of a `cond` the dearest counts; the body of a `scan` counts as often as it runs.  Counted is what is
    traced: a compiler may leave out what nobody uses, such as the loss when only its gradient is asked for.

    >>> flops(jnp.matmul, jax.ShapeDtypeStruct((8, 128), "float32"), jax.ShapeDtypeStruct((128, 64), "float32")).total
    131072
    """
    return as_flops(operations(trace(f, *specs).jaxpr))


def as_flops(found: Counter) -> Flops:
    """The sums over a counter as `operations` gives it."""
    primitives = {name: n for (kind, name), n in found.items() if kind == "primitive" and n}
    return Flops(_total(found), primitives, any(kind == "unknown" for kind, _ in found))


def operations(jaxpr: Jaxpr) -> Counter:
    """Operations by ("primitive", name) and ("part", path), calls by ("calls", path), and ("unknown", name)."""
    found: Counter = Counter()
    for eqn in jaxpr.eqns:
        found.update(_of(eqn))
    return found


def _of(eqn) -> Counter:
    name, params = eqn.primitive.name, eqn.params
    if name in SOLVERS:
        return Counter({("primitive", name): _alone(name, eqn), ("unknown", name): 1})
    inner = [] if name in RULED else [operations(jaxpr) for jaxpr in jaxprs_in_params(params)]
    if not inner:
        return Counter({("primitive", name): _alone(name, eqn)})
    found = max(inner, key=_total) if name == "cond" else sum(inner, Counter())
    if name == "scan":
        return _times(params["length"], found)
    if name == "shard_map":
        return _times(math.prod(params["mesh"].shape[axis] for axis in params["manual_axes"]), found)
    if name == "while":
        found["unknown", name] += 1
    if name == "jit" and params["name"].startswith(PART):
        path = params["name"].removeprefix(PART)
        found.update({("part", path): _total(found), ("calls", path): 1})
    return found


def _times(n: int, found: Counter) -> Counter:
    return Counter({place: n * count for place, count in found.items()})


def _alone(name: str, eqn) -> int:
    """Operations of a primitive that holds no function of its own."""
    shapes = [v.aval.shape for v in eqn.invars if hasattr(v.aval, "shape")]
    out = eqn.outvars[0].aval
    size = math.prod(getattr(out, "shape", ()))
    if name in RULES:
        return RULES[name](eqn.params, shapes, out.shape)
    if name in FREE or not any(_is_float(v.aval) for v in eqn.invars):
        return 0
    if name in REDUCTIONS:
        return sum(map(math.prod, shapes))
    if name in WINDOWS:
        return size * math.prod(eqn.params["window_dimensions"])
    return sum(math.prod(v.aval.shape) for v in eqn.outvars if _is_float(v.aval))


def _dot_general(params, shapes, out):
    (contracted, _), _ = params["dimension_numbers"]
    return 2 * math.prod(out) * math.prod(shapes[0][axis] for axis in contracted)


def _convolution(params, shapes, out):
    x, kernel = shapes
    numbers = params["dimension_numbers"]
    window = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    if math.prod(params["lhs_dilation"]) == 1:
        return 2 * math.prod(out) * window
    # A transposed convolution: every value that goes in meets the whole window; the holes between them cost nothing.
    positions = math.prod(x[axis] for axis in numbers.lhs_spec[2:])
    return 2 * out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * positions * window


def _contract(params, shapes, out):
    # The trilinear form of fdl.nn.convolution costs the same whichever of its three arrays is left out.
    arrays = [name for name in ("x", "kernel", "y") if name != params["leave"]]
    shape = dict(zip(arrays, shapes)) | {params["leave"]: out}
    return 2 * math.prod(shape["y"]) * math.prod(shape["kernel"][:-1])


def _fourier(params, shapes, out):
    points = math.prod(params["fft_lengths"])
    return round(5 * max(math.prod(shapes[0]), math.prod(out)) * math.log2(points)) if points > 1 else 0


RULES: dict[str, Callable[[dict, list, tuple], int]] = {
    "dot_general": _dot_general,
    "conv_general_dilated": _convolution,
    "fdl_contract": _contract,
    "fdl_pool_take": lambda params, shapes, out: math.prod(shapes[1]) * math.prod(params["window"]),
    "fdl_pool_put": lambda params, shapes, out: math.prod(shapes[1]) * math.prod(params["window"]),
    "fft": _fourier,
    "cholesky": lambda params, shapes, out: math.prod(out) * out[-1] // 3,
    "triangular_solve": lambda params, shapes, out: math.prod(out) * shapes[0][-1],
    "scatter-add": lambda params, shapes, out: math.prod(shapes[-1]),
    "scatter-mul": lambda params, shapes, out: math.prod(shapes[-1]),
    "select_and_scatter_add": lambda params, shapes, out: (
        math.prod(shapes[0]) * (1 + math.prod(params["window_dimensions"]))
    ),
}
RULED = {*RULES, *FREE, *REDUCTIONS, *WINDOWS}


def _is_float(aval) -> bool:
    return hasattr(aval, "dtype") and jnp.issubdtype(aval.dtype, jnp.inexact)


def _total(found: Counter) -> int:
    return sum(n for (kind, _), n in found.items() if kind == "primitive")
