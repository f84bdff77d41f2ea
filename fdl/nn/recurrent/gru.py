"""Cells whose gates mix the old carry with a candidate."""

import jax
import jax.numpy as jnp

from fdl.nn.channels import per_channel
from fdl.nn.initializers import Initializer, lecun_normal, orthogonal
from fdl.nn.linear import dense
from fdl.nn.linear.product import recur
from fdl.nn.recurrent.cell import (
    Cell,
    cell,
    gatewise,
    make_cell,
    require_sizes,
    type_of,
)
from fdl.nn.recurrent.gates import add_gate, kept, project_gates, sigmoid, split_gates, tanh, times_each
from fdl.tree import widen


@cell
def gru(
    in_dim: int,
    dim: int,
    *,
    reset_after: bool = True,
    kernel_init: Initializer = lecun_normal(),
    recurrent_init: Initializer = orthogonal(),
) -> Cell:
    """Gated recurrent unit, h <- u h + (1 - u) tanh(candidate).  (batch, in_dim) -> (batch, dim), carry {"h"}

    Kernels hold the gates side by side in the order reset, update, candidate.  reset_after=True is the form of cuDNN
    and torch, candidate = x W + b + r (h U + b'), one product a step; b' is the bias under "recurrent", torch's other
    biases come in pairs that are one here.  reset_after=False is the form of the paper, x W + b + (r h) U, two products
    a step.  https://arxiv.org/abs/1406.1078
    """
    require_sizes(in_dim=in_dim, dim=dim)

    def init(key):
        kernel = {"kernel": gatewise(recurrent_init, 3)(key, (dim, 3 * dim))}
        return {"recurrent": kernel | {"bias": jnp.zeros(dim)} if reset_after else kernel}

    def step(params, carry, z):
        h, (kernels, biases) = carry["h"], split_gates(params, 3)
        times = lambda h, *kernels: times_each(h.astype(type_of(z)), kernels)
        products = times(h, *(kernels if reset_after else kernels[:2]))
        reset, update = map(sigmoid, map(add_gate, z[:2], products, biases))
        if reset_after:
            inner = widen(products[2])
            inner = reset * kept(inner + per_channel(widen(params["recurrent"]["bias"]), inner))
        else:
            [inner] = times(reset * h, kernels[2])
        return _mix(update, h, add_gate(z[2], inner, biases[2]), z)

    affine = dense(in_dim, 3 * dim, kernel_init=gatewise(kernel_init, 3))
    return make_cell(affine, init, step, shape=(in_dim,), carries={"h": dim}, project=project_gates(3))


@cell
def minimal_gated_unit(
    in_dim: int,
    dim: int,
    *,
    kernel_init: Initializer = lecun_normal(),
    recurrent_init: Initializer = orthogonal(),
) -> Cell:
    """One gate f for all, h <- (1 - f) h + f tanh(x W + b + (f h) U).  (batch, in_dim) -> (batch, dim), carry {"h"}

    Kernels hold forget and candidate side by side.  https://arxiv.org/abs/1603.09420
    """
    require_sizes(in_dim=in_dim, dim=dim)

    def init(key):
        return {"recurrent": {"kernel": gatewise(recurrent_init, 2)(key, (dim, 2 * dim))}}

    def step(params, carry, z):
        h, (kernels, biases) = carry["h"], split_gates(params, 2)
        times = lambda h, kernel: recur(h.astype(type_of(z)), kernel)
        forget = sigmoid(add_gate(z[0], times(h, kernels[0]), biases[0]))
        candidate = add_gate(z[1], times(forget * h, kernels[1]), biases[1])
        return _mix(1 - forget, h, candidate, z)

    affine = dense(in_dim, 2 * dim, kernel_init=gatewise(kernel_init, 2))
    return make_cell(affine, init, step, shape=(in_dim,), carries={"h": dim}, project=project_gates(2))


def _mix(keep: jax.Array, h: jax.Array, candidate: jax.Array, z: tuple[jax.Array, ...]) -> tuple[dict, jax.Array]:
    """keep h + (1 - keep) tanh(candidate), carried and put out."""
    h = keep * h + (1 - keep) * tanh(candidate)
    return {"h": h}, h.astype(type_of(z))
