"""Layers that weigh channels: by a trained factor, or by what the whole image shows."""

import jax.numpy as jnp

from fdl.checks import require_float, require_shape
from fdl.nn.activations.standard import relu, sigmoid
from fdl.nn.channels import per_channel
from fdl.nn.compose import wire
from fdl.nn.initializers.standard import Initializer, constant
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.linear.dense import dense
from fdl.nn.pooling.pool import global_average_pool


@layer
def layer_scale(dim: int, *, scale_init: Initializer = constant(1e-5)) -> Layer:
    """Each channel times a trained factor, small at first: the last of a residual branch.  (..., dim) -> same shape

    https://arxiv.org/abs/2103.17239: 0.1 up to 18 blocks, 1e-5 up to 24, 1e-6 beyond.
    """

    def apply(params, x):
        require_float(x)
        require_shape(x, ..., dim)
        return x * per_channel(params["scale"], x)

    return pure(lambda key: {"scale": scale_init(key, (dim,))}, apply)


@layer
def squeeze_excite(dim: int, *, reduction: int = 16) -> Layer:
    """Each channel times a gate in (0, 1) that is computed from the mean of all channels over space.

    (batch, *space, dim) -> same shape; dim // reduction units between.  https://arxiv.org/abs/1709.01507
    Raises ValueError where no unit is left between.
    """
    if not 1 <= reduction <= dim:
        raise ValueError(f"reduction must be from 1 to dim, got {reduction} of {dim} channels")

    def forward(x, squeeze, excite):
        gate = sigmoid(excite(relu(squeeze(global_average_pool(x)))))
        return x * jnp.expand_dims(gate, range(1, x.ndim - 1))

    return wire(forward, squeeze=dense(dim, dim // reduction), excite=dense(dim // reduction, dim))
