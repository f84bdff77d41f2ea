"""Which library a program on a CPU leaves its products to."""

import math
from collections.abc import Iterator
from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params

WIDE = 100  # rows, columns and terms of a product from which YNN is the faster one


def wide_products_only(program: ClosedJaxpr) -> bool:
    """Whether all that a program multiplies are matrices, of one run or several, and the largest product is wide.

    YNN, to which XLA gives products by itself, is then the faster one, by a sixth for perceptrons.  Eigen is for
    products of few rows or columns, for what is left beside calls of oneDNN, and for convolutions, whose gradients YNN
    takes ten times as long for.  XLA takes the choice for a whole program.
    """
    products = []
    for eqn in equations(program.jaxpr):
        if eqn.primitive.name in ("conv_general_dilated", "fdl_contract", "fdl_product"):
            return False
        if eqn.primitive.name == "dot_general":
            products.append(_sides(eqn))
    if not products or any(leading > 1 for leading, *_ in products):
        return False
    return min(max((sides for _, *sides in products), key=math.prod)) >= WIDE


def equations(program: Jaxpr) -> Iterator[JaxprEqn]:
    """The operations of a program, those inside of others too."""
    for eqn in program.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


def _sides(eqn: JaxprEqn) -> tuple[int, int, int, int]:
    """How many leading axes the products of an operation have, and rows, terms and columns of each."""
    types: list[Any] = [var.aval for var in eqn.invars]
    a, b = types
    (of_a, _), (leading, _) = eqn.params["dimension_numbers"]
    many, terms = (math.prod(a.shape[i] for i in axes) for axes in (leading, of_a))
    return len(leading), a.size // (many * terms or 1), terms, b.size // (many * terms or 1)
