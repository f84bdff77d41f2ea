"""The gradient of a kernel as a convolution that oneDNN computes: the examples are its channels.

The runtime of XLA knows no call for this gradient, but the sum over examples and positions is one that a convolution
takes too: over its channels and over its window.  So the examples of x and y take the place of the channels, y that of
the window, and the cells of the kernel are the positions.  The last axis of space and the channels of x are one axis,
along which the window has holes: cells beside each other and all channels are positions of one row, as many as fill
the registers.
"""

import math
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fdl.cpu.calls import convolution
from fdl.nn.channels import largest_divisor
from fdl.nn.convolution.canonical import Form, window_as_positions, without_crops

FEW = 8  # channels below which oneDNN's registers stay as empty as Eigen's
TOGETHER = 24  # channels up to which groups share a call
CACHE = 1 << 20  # bytes of x and y that a call reads again for each cell of the kernel, from the cache if they fit


def has_a_kernel_by_onednn(x: Any, y: Any, form: Form) -> bool:
    """Whether it is the faster way: not for one or two cells or a single position, which are products, nor for so few
    channels."""
    cells, places = math.prod(form.window), math.prod(y.shape[1:-1])
    wide = min(x.shape[-1], y.shape[-1]) >= FEW and x.shape[-1] > form.groups  # one channel a group is no product
    return wide and form.dilation[-1] == 1 and cells > 2 and places > 1


def kernel_by_onednn(x: jax.Array, y: jax.Array, form: Form) -> jax.Array:
    """(batch, *space, in_dim), (batch, *positions, out_dim) -> (*window, in_dim // groups, out_dim), group by group.

    The last axis has no dilation, which would put holes between the positions too.
    """
    if form.groups > 1:
        return _of_groups(x, y, form)
    x, padding = without_crops(x, window_as_positions(y, form))
    most = CACHE * x.shape[0] // ((x.size + y.size) * x.dtype.itemsize) or 1
    size = max(4 if len(form.window) == 1 else 8, 1 << most.bit_length() - 1)  # fewer are not worth a call
    whole = x.shape[0] // size * size
    sums = [_summed(x[:whole], y[:whole], size, form, padding)] if whole else []
    if whole < x.shape[0]:
        sums.append(_of_part(x[whole:], y[whole:], form, padding))
    return reduce(jnp.add, sums).reshape(*form.window, x.shape[-1], y.shape[-1])


def _of_groups(x, y, form):
    """A call for a few groups together, whose channels fill the registers: of each product their own part is kept."""
    together = largest_divisor(form.groups, max(TOGETHER * form.groups // x.shape[-1], 1))
    in_dim, out_dim = (a.shape[-1] // form.groups for a in (x, y))
    kernels = []
    parts = (jnp.split(a, form.groups // together, axis=-1) for a in (x, y))
    for x_part, y_part in zip(*parts):
        kernel = kernel_by_onednn(x_part, y_part, form._replace(groups=1))
        kernel = kernel.reshape(*form.window, together, in_dim, together, out_dim)
        kernels += [kernel[..., group, :, group, :] for group in range(together)]
    return jnp.concatenate(kernels, axis=-1)


def _summed(x, y, size, form, padding):
    """The sum over parts of so many examples, one after the other."""
    if x.shape[0] == size:
        return _of_part(x, y, form, padding)
    parts = [a.reshape(-1, size, *a.shape[1:]) for a in (x, y)]
    zero = jnp.zeros((1, *form.window[:-1], form.window[-1] * x.shape[-1], y.shape[-1]), x.dtype)
    return lax.scan(lambda total, xy: (total + _of_part(xy[0], xy[1], form, padding), None), zero, parts)[0]


def _of_part(x, y, form, padding):
    """The gradient as (1, *window without its last axis, last axis * in_dim, out_dim)."""
    batch, *outer, last, in_dim = x.shape
    flat = lax.optimization_barrier(x.reshape(batch, -1))  # cut out first: two threads are faster at two passes
    turned = lax.optimization_barrier(flat.T)  # else it is folded into what it is read for
    image = turned.reshape(1, *outer, last * in_dim, batch)
    wide = lambda sizes: (*sizes[:-1], sizes[-1] * in_dim)
    edges = (*padding[:-1], tuple(n * in_dim for n in padding[-1]))
    return convolution(
        image, y, wide(form.window), form.dilation, wide(form.stride), edges, groups=1, channels_first=True
    )
