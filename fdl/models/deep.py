"""Deep stacks of one block: plain ones, in which gradients vanish, and three that pass them on.

The kernels are drawn as they commonly were before 2010, U(±1/√n) for n inputs (https://proceedings.mlr.press/v9/glorot10a,
equation 1): a plain layer then shrinks a gradient to about 1/√3, and thirty layers to 10^-7 or less of it.
"""

import jax

from fdl.nn.activations import sigmoid, tanh
from fdl.nn.compose import repeat, residual, serial, wire
from fdl.nn.initializers import Initializer, constant, variance_scaling
from fdl.nn.layer import Layer, layer
from fdl.nn.linear import dense
from fdl.nn.normalization import batch_norm

BEFORE_2010 = variance_scaling(1 / 3, "fan_in", "uniform")


@layer
def plain_block(dim: int, *, kernel_init: Initializer = BEFORE_2010) -> Layer:
    """tanh(x W + b).  (batch, dim) -> same shape"""
    return serial(dense(dim, dim, kernel_init=kernel_init), tanh)


@layer
def residual_block(dim: int, *, kernel_init: Initializer = BEFORE_2010) -> Layer:
    """x + tanh(x W + b).  (batch, dim) -> same shape  https://arxiv.org/abs/1512.03385"""
    return residual(dense(dim, dim, kernel_init=kernel_init), tanh)


@layer
def highway_block(dim: int, *, gate_bias: float = -2.0, kernel_init: Initializer = BEFORE_2010) -> Layer:
    """T h + (1 - T) x with h = tanh(x W + b) and the gate T = σ(x V + c).  (batch, dim) -> same shape

    c starts at gate_bias, below 0, so that a new block lets nearly everything pass.  https://arxiv.org/abs/1505.00387
    """

    def forward(x: jax.Array, transform, gate) -> jax.Array:
        opened = gate(x)
        return opened * transform(x) + (1 - opened) * x

    gate = dense(dim, dim, kernel_init=kernel_init, bias_init=constant(gate_bias))
    return wire(forward, transform=plain_block(dim, kernel_init=kernel_init), gate=serial(gate, sigmoid))


@layer
def normalised_block(dim: int, *, kernel_init: Initializer = BEFORE_2010) -> Layer:
    """tanh(batch_norm(x W)).  (batch, dim) -> same shape  https://arxiv.org/abs/1502.03167"""
    return serial(dense(dim, dim, use_bias=False, kernel_init=kernel_init), batch_norm(dim), tanh)


@layer
def deep_classifier(block: Layer, in_dim: int, dim: int, depth: int, classes: int) -> Layer:
    """A layer to the width of the blocks, the block depth times, logits.  (batch, in_dim) -> (batch, classes)

    The outputs of the blocks are those of the part blocks/block.
    """
    stem = serial(dense(in_dim, dim, kernel_init=BEFORE_2010), tanh)
    return serial(
        stem=stem, blocks=repeat(serial(block=block), depth), head=dense(dim, classes, kernel_init=BEFORE_2010)
    )
