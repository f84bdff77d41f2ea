"""Convolutions in the shapes that Eigen, to which XLA gives them on a CPU, does fast; each equal to the plain one.

Eigen gathers what each window sees into the rows of a matrix and multiplies: by few outputs its registers stay empty,
of few inputs it gathers number by number, and zeros around an image it multiplies like all else.
"""

from functools import reduce

import jax
import jax.numpy as jnp
from jax import lax

from fdl.nn.pooling.cells import pad_space
from fdl.nn.pooling.window import positions

FEW_IN, FEW_OUT = 128, 32  # columns of a product that neighbours fill together, with few inputs and with more


def shaped(x, kernel, padding, stride, dilation, groups):
    """The convolution of x with a kernel, positions side by side or rows of the window apart where that is faster."""
    counts = positions(x.shape[1:-1], kernel.shape[:-2], stride, dilation, padding)
    if groups > 1:
        return correlate(x, kernel, padding, stride, dilation, groups)
    if max(stride) == 1 and counts[0] >= 1.25 * x.shape[1]:
        return _rows_apart(x, kernel, padding, dilation, counts[0])
    beside = neighbours(x, kernel, padding, stride, dilation)
    if beside > 1:
        return _beside(x, kernel, padding, stride, dilation, beside)
    return correlate(x, kernel, padding, stride, dilation, groups)


def neighbours(x, kernel, padding, stride, dilation) -> int:
    """How many positions along the last axis to take at once: 1, 2 or 4."""
    *_, last, in_dim, out_dim = kernel.shape
    if x.shape[-1] != in_dim or last < 3 or stride[-1] * dilation[-1] > 1:
        return 1
    count = positions(x.shape[1:-1], kernel.shape[:-2], stride, dilation, padding)[-1]
    most = (FEW_IN if in_dim < 8 else FEW_OUT) // out_dim
    return next((n for n in (4, 2) if n <= most and count % n == 0), 1)


def _beside(x, kernel, padding, stride, dilation, beside):
    """So many neighbours as the outputs of one wider window, which holds zeros, but is gathered once for all."""
    in_dim, out_dim = kernel.shape[-2:]
    edges = [(0, 0)] * (kernel.ndim - 3)
    shifted = [jnp.pad(kernel, [*edges, (n, beside - 1 - n), (0, 0), (0, 0)]) for n in range(beside)]
    wide, step = jnp.concatenate(shifted, axis=-1), beside
    if in_dim < 8:
        x, wide, padding, step = _folded(x, wide, padding, beside)
    y = correlate(x, wide, padding, (*stride[:-1], step), dilation, 1)
    return y.reshape(*y.shape[:-2], y.shape[-2] * beside, out_dim)


def _folded(x, kernel, padding, beside):
    """So many cells of the last axis as the channels of one, in x and in the kernel: they are gathered together."""
    *edges, (low, high) = padding
    *window, last, in_dim, out_dim = kernel.shape
    before, fill = [(0, 0)] * len(edges), -last % beside
    x = pad_space(x, [*before, (low, high + fill)])
    x = x.reshape(*x.shape[:-2], x.shape[-2] // beside, beside * in_dim)
    kernel = jnp.pad(kernel, [*before, (0, fill), (0, 0), (0, 0)])
    kernel = kernel.reshape(*window, (last + fill) // beside, beside * in_dim, out_dim)
    return x, kernel, [*edges, (0, 0)], 1


def _rows_apart(x, kernel, padding, dilation, count):
    """The rows of the window as outputs of their own, added in their places: no zero above or below is multiplied."""
    (low, _), *edges = padding
    rows, *window, in_dim, out_dim = kernel.shape
    outputs = jnp.moveaxis(kernel, 0, -2).reshape(1, *window, in_dim, rows * out_dim)
    y = correlate(x, outputs, [(0, 0), *edges], (1,) * len(padding), dilation, 1)
    y = y.reshape(*y.shape[:-1], rows, out_dim)
    starts = [low - row * dilation[0] for row in range(rows)]
    places = [[(at, count - x.shape[1] - at), *[(0, 0)] * len(edges)] for at in starts]
    return reduce(jnp.add, (pad_space(y[..., row, :], place) for row, place in enumerate(places)))


def correlate(x: jax.Array, kernel: jax.Array, padding, stride, dilation, groups: int) -> jax.Array:
    """The convolution of JAX, with channels last."""
    letters = "DHW"[-len(stride) :]
    layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, kernel, stride, padding, rhs_dilation=dilation, dimension_numbers=layout, feature_group_count=groups
    )
