"""An image as a sequence of embedded patches."""

import math
from collections.abc import Sequence

import jax

from fdl.checks import ShapeError, require_float, require_shape
from fdl.nn.channels import per_channel
from fdl.nn.initializers.standard import Initializer, lecun_normal, zeros
from fdl.nn.layer import Layer, layer, pure
from fdl.nn.shape.windows import windows_of


@layer
def patch_embedding(
    in_dim: int,
    dim: int,
    patch: int | Sequence[int],
    *,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros(),
) -> Layer:
    """One affine map of each patch, rows of patches first.  (batch, *space, in_dim) -> (batch, patches, dim)

    The convolution whose stride is its window, with its kernel (*patch, in_dim, dim); a single number is a square
    patch of an image.  https://arxiv.org/abs/2010.11929.  Raises ShapeError where patches do not fill the space.
    """
    patch = (patch, patch) if isinstance(patch, int) else tuple(patch)

    def init(key):
        kernel_key, bias_key = jax.random.split(key)
        kernel = {"kernel": kernel_init(kernel_key, (*patch, in_dim, dim))}
        return kernel | {"bias": bias_init(bias_key, (dim,))} if use_bias else kernel

    def apply(params, x):
        require_float(x)
        require_shape(x, *(None,) * (len(patch) + 1), in_dim)
        if any(size % cells for size, cells in zip(x.shape[1:-1], patch)):
            raise ShapeError(f"patches of {patch} must fill the space, got input {x.shape}; crop or pad it")
        patches = windows_of(x, patch, patch, 1, "valid")
        patches = patches.reshape(x.shape[0], math.prod(patches.shape[1:-1]), patches.shape[-1])
        y = patches @ params["kernel"].reshape(patches.shape[-1], dim)
        return y + per_channel(params["bias"], y) if use_bias else y

    return pure(init, apply)
