"""What a loop over layers keeps for its backward pass."""

from collections.abc import Callable
from typing import Any

import jax

from fdl.compile import on_cpu
from fdl.nn.layer import Layer

NAMES = """
abs add and broadcast_in_dim clamp convert_element_type copy cos div eq erf exp exp2 expm1 fdl_channel_spread ge gt
integer_pow iota is_finite le log log1p logistic lt max min mul ne neg not one_minus_square optimization_barrier or pow
random_bits random_fold_in random_unwrap random_wrap reshape rsqrt select_n shift_left shift_right_arithmetic
shift_right_logical sign sin sqrt square squeeze sub tanh transpose xor
"""
CHEAP = frozenset(NAMES.split())


def costly(primitive: Any, *_: Any, **how: Any) -> bool:
    """A policy of `jax.checkpoint`: keep what costs more to compute than to read back.

    Kept are products with parameters, convolutions, sums, and all that is not known here.  Element-wise work is done
    again within the loops that need it.  So are products of activations with each other, the logits of attention, whose
    number grows with the square of time.
    """
    if primitive.name == "dot_general":
        return how["dimension_numbers"][1] == ((), ())  # no batch axes: not every example has a matrix of its own
    return primitive.name not in CHEAP


def keeping_costly(body: Callable, part: Layer) -> Callable:
    """The body of a loop over this part, which keeps what is `costly` of each turn.

    Without this a loop keeps every value that its derivative names, and writes all of them to memory, where a program
    without a loop computes most of them where they are read.  Measured on a CPU, and done there alone.
    """
    if not on_cpu() or _says_what_to_keep(part):  # a policy around it would take its place
        return body
    return jax.checkpoint(body, policy=costly, prevent_cse=False)


def _says_what_to_keep(part: Layer) -> bool:
    given = part.call.bound.args if part.call else ()
    inside = [*part.parts.values(), *(layer for layer in given if isinstance(layer, Layer))]
    return part.kind in ("remat", "unroll") or any(map(_says_what_to_keep, inside))
