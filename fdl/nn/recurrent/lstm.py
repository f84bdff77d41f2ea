"""Long short-term memory, in the forms of 1997, 2000 and 2002, on vectors and on images."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from fdl.nn import activations
from fdl.nn.convolution import conv, convolve
from fdl.nn.convolution.conv import window_of
from fdl.nn.initializers import Initializer, lecun_normal, orthogonal, zeros
from fdl.nn.linear import dense
from fdl.nn.linear.product import recur
from fdl.nn.recurrent.cell import (
    Carry,
    Cell,
    cell,
    gate_constants,
    gatewise,
    make_cell,
    require_sizes,
    type_of,
)
from fdl.nn.recurrent.gates import add_gate, project_gates, sigmoid, split_gates, tanh, times_each
from fdl.tree import widen


@cell
def lstm(
    in_dim: int,
    dim: int,
    *,
    out_dim: int | None = None,
    forget_gate: bool = True,
    peepholes: bool = False,
    forget_bias: float = 1.0,
    kernel_init: Initializer = lecun_normal(),
    recurrent_init: Initializer = orthogonal(),
) -> Cell:
    """Long short-term memory.  (batch, in_dim) -> (batch, dim), carry {"h", "c"}

    c <- f c + i tanh(g), h <- o tanh(c), with i, f and o the sigmoids of the gates.  Kernels hold the gates side by
    side in the order input, forget, candidate, output (that of torch, whose two biases are one here).
    forget_gate=False is the form of 1997, f = 1.  peepholes let the input and forget gates see the old c and the output
    gate the new one, each unit its own (Gers and Schmidhuber, Recurrent Nets that Time and Count, 2000).
    forget_bias is the first bias of the forget gate: with 1 a fresh cell remembers (torch starts near 0).
    out_dim projects h to that width before it is put out and carried, https://arxiv.org/abs/1402.1128
    Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Gers et al. 2000, Learning to Forget.
    """
    out_dim, given = out_dim or dim, out_dim
    require_sizes(in_dim=in_dim, dim=dim, out_dim=out_dim)
    gates = 4 if forget_gate else 3
    biases = gate_constants(0.0, forget_bias, 0.0, 0.0) if forget_gate else zeros()
    affine = dense(in_dim, gates * dim, kernel_init=gatewise(kernel_init, gates), bias_init=biases)

    def init(key):
        recurrent_key, output_key = jax.random.split(key)
        kernel = gatewise(recurrent_init, gates)(recurrent_key, (out_dim, gates * dim))
        output = {"output": {"kernel": kernel_init(output_key, (dim, out_dim))}} if given else {}
        return {"recurrent": {"kernel": kernel}} | output | _peepholes(peepholes, forget_gate, (dim,))

    def step(params, carry, z):
        narrow, (kernels, biases) = type_of(z), split_gates(params, gates)
        sums = [*map(add_gate, z, times_each(carry["h"].astype(narrow), kernels), biases)]
        h, c = _remember(params.get("peephole", {}), carry["c"], sums, forget_gate)
        if given:
            h = widen(recur(h.astype(narrow), params["output"]["kernel"]))
        return {"h": h, "c": c}, h.astype(narrow)

    carries, project = {"h": out_dim, "c": dim}, project_gates(gates)
    return make_cell(affine, init, step, shape=(in_dim,), carries=carries, project=project)


@cell
def conv_lstm(
    in_dim: int,
    dim: int,
    window: int | Sequence[int],
    *,
    peepholes: bool | Sequence[int] = False,
    forget_bias: float = 1.0,
    kernel_init: Initializer = lecun_normal(),
    recurrent_init: Initializer = orthogonal(),
) -> Cell:
    """`lstm` whose products are convolutions.  (batch, *space, in_dim) -> (batch, *space, dim), carry {"h", "c"}

    The window is that of `conv`; borders are padded with zeros, which stand for not knowing.  peepholes=True is one
    weight a channel, for any space; the paper has one a cell of the image too, peepholes=(height, width).
    https://arxiv.org/abs/1506.04214
    """
    window = window_of(window)
    require_sizes(in_dim=in_dim, dim=dim)
    kernel, biases = gatewise(kernel_init, 4), gate_constants(0.0, forget_bias, 0.0, 0.0)
    affine = conv(in_dim, 4 * dim, window, kernel_init=kernel, bias_init=biases)
    space = () if isinstance(peepholes, bool) else tuple(peepholes)
    shape = (*(None,) * len(window), in_dim)

    def init(key):
        kernel = gatewise(recurrent_init, 4)(key, (*window, dim, 4 * dim))
        return {"recurrent": {"kernel": kernel}} | _peepholes(bool(peepholes), True, (*space, dim))

    def project(params, x):
        if x.ndim > len(shape) + 1:
            return jax.vmap(lambda x: project(params, x))(x)
        return affine.apply(params, {}, x)[0]

    def step(params, carry, z):
        z = z + convolve(carry["h"].astype(z.dtype), params["recurrent"]["kernel"])
        h, c = _remember(params.get("peephole", {}), carry["c"], jnp.split(widen(z), 4, -1), True)
        return {"h": h, "c": c}, h.astype(z.dtype)

    return make_cell(affine, init, step, shape=shape, carries={"h": dim, "c": dim}, project=project)


def _peepholes(given: bool, forget_gate: bool, shape: tuple[int, ...]) -> dict:
    names = ("input", "forget", "output") if forget_gate else ("input", "output")
    return {"peephole": {name: jnp.zeros(shape) for name in names}} if given else {}


def _remember(peephole: Carry, c: jax.Array, sums: list[jax.Array], forget_gate: bool) -> tuple[jax.Array, jax.Array]:
    """The output before any projection, and the next c, of the sums of all gates."""

    def see(gate: str, total: jax.Array, c: jax.Array) -> jax.Array:
        if gate not in peephole:
            return sigmoid(total)
        weights = widen(peephole[gate])
        return sigmoid(total + weights.reshape((1,) * (c.ndim - weights.ndim) + weights.shape) * c)

    admit, *forget, candidate, output = sums
    kept = see("forget", forget[0], c) * c if forget_gate else c
    after = kept + see("input", admit, c) * tanh(candidate)
    return see("output", output, after) * activations.tanh(after), after
