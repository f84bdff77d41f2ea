"""A convolution of few channels on an NVIDIA GPU, as one of more channels at fewer cells.

cuDNN multiplies tiles of 32 channels or more, and with 16 leaves half of each empty.  Cells beside each other along the
last axis of space lie in memory as channels of one cell would, so they are taken for that: the kernel then holds zeros
where a channel of one position does not see one of a cell, and all it multiplies besides are zeros.
"""

import jax
import jax.numpy as jnp
import numpy as np

from fdl.nn.convolution.canonical import Form
from fdl.nn.convolution.eigen import correlate
from fdl.nn.pooling.window import positions

CHANNELS = 64  # so many are made of fewer


def correlate_on_gpu(x: jax.Array, kernel: jax.Array, form: Form) -> jax.Array:
    """(batch, *space, in_dim), (*window, in_dim, out_dim) -> (batch, *positions, out_dim); linear in each.

    An infinite value makes more neighbours NaN than its window has.
    """
    joined = cells_joined(x, kernel, form)
    if joined == 1:
        return correlate(x, kernel, form.padding, form.stride, form.dilation, form.groups)
    return joined_cells(x, kernel, form, joined)


def cells_joined(x: jax.Array, kernel: jax.Array, form: Form) -> int:
    """How many cells to take for one, a power of two: 1 where that cannot be, and but for 16-bit types, since older
    GPUs have no units for products of others."""
    *_, last, _, out_dim = kernel.shape
    if x.dtype.itemsize > 2 or form.groups * form.stride[-1] * form.dilation[-1] > 1 or last == 1:
        return 1
    cells, count, joined = form.space[-1], positions(*form[:5])[-1], 1
    while 2 * joined * max(x.shape[-1], out_dim) <= CHANNELS and cells % (2 * joined) == count % (2 * joined) == 0:
        joined *= 2
    return joined


def joined_cells(x: jax.Array, kernel: jax.Array, form: Form, joined: int) -> jax.Array:
    """The same convolution with so many cells, and as many positions, of the last axis as one."""
    *window, last, in_dim, out_dim = kernel.shape
    *edges, (low, _) = form.padding
    cells, count = form.space[-1] // joined, positions(*form[:5])[-1] // joined
    near, far = -low // joined, (joined + last - 2 - low) // joined  # the first and last wide cell that position 0 sees
    step, cell, position = np.mgrid[near : far + 1, :joined, :joined]
    seen = (joined * step + cell + low - position)[..., None] == np.arange(last)
    wide = jnp.einsum("scpl,wlio->wscipo", seen.astype(kernel.dtype), kernel.reshape(-1, last, in_dim, out_dim))
    wide = wide.reshape(*window, far - near + 1, joined * in_dim, joined * out_dim)
    padding = (*edges, (-near, count - cells + far))
    y = correlate(x.reshape(*x.shape[:-2], cells, -1), wide, padding, form.stride, form.dilation, 1)
    return y.reshape(*y.shape[:-2], joined * count, out_dim)
