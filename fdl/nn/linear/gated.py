"""Dense layers around an activation: plain, and gated by a second branch."""

from collections.abc import Callable
from itertools import pairwise

from fdl.nn.activations.standard import relu, silu
from fdl.nn.compose import serial, wire
from fdl.nn.layer import Layer, layer
from fdl.nn.linear.dense import dense


@layer
def mlp(*sizes: int, activation: Callable = relu, use_bias: bool = True) -> Layer:
    """Dense layers of these sizes with the activation between them.  (..., sizes[0]) -> (..., sizes[-1])

    Raises ValueError for fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"mlp needs the size of its input and of its output at least, got {sizes}")
    parts: list = []
    for in_dim, out_dim in pairwise(sizes):
        parts += [dense(in_dim, out_dim, use_bias=use_bias), activation]
    return serial(*parts[:-1])


@layer
def gated_mlp(dim: int, hidden: int, *, gate: Callable = silu, use_bias: bool = False) -> Layer:
    """down(gate(x W) * (x V)): SwiGLU, or GeGLU with gate=gelu.  (..., dim) -> same shape

    https://arxiv.org/abs/2002.05202; as many parameters as a plain one four times as wide at hidden = 8 / 3 * dim.
    """
    curve = gate

    def forward(x, gate, up, down):
        return down(curve(gate(x)) * up(x))

    return wire(
        forward,
        gate=dense(dim, hidden, use_bias=use_bias),
        up=dense(dim, hidden, use_bias=use_bias),
        down=dense(hidden, dim, use_bias=use_bias),
    )
