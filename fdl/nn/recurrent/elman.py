"""The plain recurrent cell."""

from collections.abc import Callable

import jax

from fdl.nn.activations import tanh
from fdl.nn.initializers import Initializer, lecun_normal, orthogonal
from fdl.nn.linear import dense
from fdl.nn.linear.product import recur
from fdl.nn.recurrent.cell import Cell, cell, make_cell, require_sizes
from fdl.nn.recurrent.gates import kept
from fdl.tree import widen


@cell
def elman(
    in_dim: int,
    dim: int,
    *,
    activation: Callable[[jax.Array], jax.Array] = tanh,
    kernel_init: Initializer = lecun_normal(),
    recurrent_init: Initializer = orthogonal(),
) -> Cell:
    """h <- activation(x W + b + h U), which is also the output.  (batch, in_dim) -> (batch, dim), carry {"h"}

    Elman 1990, Finding Structure in Time.
    """
    require_sizes(in_dim=in_dim, dim=dim)

    def init(key):
        return {"recurrent": {"kernel": recurrent_init(key, (dim, dim))}}

    def step(params, carry, z):
        h = activation(kept(widen(z + recur(carry["h"].astype(z.dtype), params["recurrent"]["kernel"]))))
        return {"h": h}, h.astype(z.dtype)

    return make_cell(dense(in_dim, dim, kernel_init=kernel_init), init, step, shape=(in_dim,), carries={"h": dim})
