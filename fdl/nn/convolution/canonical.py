"""A convolution and its two gradients as forward convolutions in canonical form, for XLA on a CPU.

XLA brings convolutions into the form its fast CPU code needs only in the top-level program; inside scan, while, cond
and remat the gradients JAX writes run up to a hundred times slower.  Here all three are written as convolutions that
have that form already: (batch, *space, dim) by (*window, dim, dim).
"""

import itertools
import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from fdl.nn.channels import largest_divisor
from fdl.nn.convolution.eigen import neighbours, shaped
from fdl.nn.pooling.cells import interleave, pad_space, taps
from fdl.nn.pooling.window import positions

MAX_TAPS = 64  # up to so many window positions are summed as shifted products when a group has one channel
ROWS, TOGETHER, VECTOR, SUMS = 8, 9, 16, 32 << 20  # rows and cells of one pass, channels it needs, bytes of its sums
CHUNK, CACHE = 16, 8 << 20  # examples at a time once a kernel gradient reads more bytes than this


class Form(NamedTuple):
    """A convolution apart from its numbers: how the window walks over space."""

    space: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int


def contract_on_cpu(first, second, *, leave, form):
    """The array left out of the trilinear form, from the other two; 16-bit arrays are summed in float32."""
    dtype = first.dtype
    if dtype.itemsize == 2:
        first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    if leave == "y":
        return _slide(first, second, form.padding, form.stride, form.dilation, form.groups).astype(dtype)
    if leave == "x":
        return input_by_phases(first, second, form, _slide).astype(dtype)
    return _kernel(first, second, form).astype(dtype)


def _slide(x, kernel, padding, stride, dilation, groups):
    """Canonical convolution; with one channel per group, shifted products."""
    window = kernel.shape[:-2]
    if kernel.shape[-2] > 1 or math.prod(window) > MAX_TAPS or neighbours(x, kernel, padding, stride, dilation) > 1:
        x, padding = without_crops(x, padding)
        return shaped(x, kernel, padding, stride, dilation, groups)
    seen = _seen(x, kernel.shape[-1], padding, window, stride, dilation)
    if x.shape[-1] == 1:
        # Many products of one channel by all outputs are one product of matrices, the fastest form.
        return jnp.concatenate(list(seen), axis=-1) @ kernel.reshape(-1, kernel.shape[-1])
    weights = kernel.reshape(-1, *(1,) * (x.ndim - 1), kernel.shape[-1])
    return reduce(jnp.add, map(jnp.multiply, seen, weights))


def _seen(x, dim, padding, window, stride, dilation):
    """What each cell of the window sees, each channel repeated for the outputs of its group.

    A single channel broadcasts by itself.  Cells that look everywhere share one padded copy, behind a barrier, without
    which it is padded again for each; strided ones look at a part of it, and pad that as they go.
    """
    wide = x if x.shape[-1] in (1, dim) else jnp.repeat(x, dim // x.shape[-1], axis=-1)
    if max(stride) == 1 or not any(itertools.chain(*padding)):
        yield from taps(lax.optimization_barrier(pad_space(wide, padding)), window, stride, dilation)
        return
    counts = positions(x.shape[1:-1], window, stride, dilation, padding)
    for cell in itertools.product(*map(range, window)):
        axes = zip(cell, dilation, padding, counts, stride, x.shape[1:-1])
        edges = [(low - i * d, i * d - low + n * s - size) for i, d, (low, _), n, s, size in axes]
        yield pad_space(wide, edges)[(slice(None), *(slice(None, None, s) for s in stride))]


def input_by_phases(kernel, y, form: Form, slide):
    """One convolution of y for each phase of the stride, so that no product has a zero put in by it; interleaved."""
    kernel = turned_kernel(kernel, form)
    phases = [_phase(kernel, y, form, offset, slide) for offset in itertools.product(*map(range, form.stride))]
    return interleave(phases, form.stride, form.space)


def turned_kernel(kernel, form: Form):
    """The kernel of the adjoint: flipped in space, inputs and outputs of each group in each other's place."""
    groups, (in_dim, out_dim) = form.groups, kernel.shape[-2:]
    kernel = kernel.reshape(*form.window, in_dim, groups, out_dim // groups)
    kernel = jnp.flip(jnp.moveaxis(kernel, -1, -3).swapaxes(-1, -2), range(len(form.window)))
    return lax.optimization_barrier(kernel.reshape(*form.window, out_dim // groups, groups * in_dim))


def _phase(kernel, y, form: Form, offset, slide):
    """The input gradient at cells offset, offset + stride, ... of every axis; kernel is flipped."""
    cuts, padding, dilation = [], [], []
    axes = zip(offset, form.space, form.window, form.stride, form.dilation, form.padding, y.shape[1:-1])
    for j, space, window, stride, spacing, (low, _), count in axes:
        hits = [w for w in range(window) if (j + low - w * spacing) % stride == 0]
        if not hits:
            sizes = (-(-n // s) for n, s in zip(form.space, form.stride))
            return jnp.zeros((y.shape[0], *sizes, kernel.shape[-1]), y.dtype)
        last, first = ((j + low - w * spacing) // stride for w in (hits[-1], hits[0]))
        cuts.append(slice(window - 1 - hits[-1], None, stride // math.gcd(stride, spacing)))
        padding.append((-last, -(-space // stride) + first - count))
        dilation.append(spacing // math.gcd(stride, spacing))
    return slide(y, kernel[tuple(cuts)], padding, (1,) * len(cuts), dilation, form.groups)


def _kernel(x, y, form: Form):
    """The kernel gradient, a few examples at a time when all of them would not stay in the cache."""
    if x.shape[-1] == form.groups > 1 and math.prod(form.window) <= MAX_TAPS:
        return _tap_sums(x, y, form)
    if _is_pointwise(x, y, form):
        return _product(x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])).reshape(*form.window, x.shape[-1], -1)
    if max(form.stride) == form.groups == 1 and y.shape[-1] < x.shape[-1]:
        return _turned(x, y, form)
    if x.shape[0] % CHUNK or (x.size + y.size) * x.dtype.itemsize < CACHE:
        return _kernel_of_part(x, y, form)
    x, y = (a.reshape(-1, CHUNK, *a.shape[1:]) for a in (x, y))
    zero = jnp.zeros((*form.window, x.shape[-1] // form.groups, y.shape[-1]), x.dtype)
    return lax.scan(lambda total, xy: (total + _kernel_of_part(*xy, form), None), zero, (x, y))[0]


def _turned(x, y, form: Form):
    """The same sum with x and y in each other's place, so that cells are gathered of the one with fewer channels."""
    back = tuple(((w - 1) * d - low, 0) for w, d, (low, _) in zip(form.window, form.dilation, form.padding))
    kernel = _kernel(y, x, form._replace(space=y.shape[1:-1], padding=back))
    return jnp.flip(kernel, range(len(form.window))).swapaxes(-1, -2)


def _is_pointwise(x, y, form: Form) -> bool:
    return math.prod(form.window + form.stride) == form.groups == 1 and x.shape[:-1] == y.shape[:-1]


def _product(x, y):
    """x^T y with the narrower of the two turned first, which XLA on a CPU multiplies fastest (`fdl/nn/linear`)."""
    if x.shape[1] > y.shape[1]:
        return _product(y, x).T
    return lax.optimization_barrier(x.T) @ y


def _kernel_of_part(x, y, form: Form):
    """Convolution of x with y over batch and space, channels of x in the place of the batch."""
    batch, *space, in_dim = x.shape
    padding = window_as_positions(y, form)
    x = jnp.moveaxis(x.reshape(batch, *space, form.groups, in_dim // form.groups), (0, -1), (-1, 0))
    x = x.reshape(in_dim // form.groups, *space, form.groups * batch)
    x, y = lax.optimization_barrier((x, jnp.moveaxis(y, 0, -2)))  # else the transposes are folded back
    return jnp.moveaxis(_slide(x, y, padding, form.dilation, form.stride, form.groups), 0, -2)


def window_as_positions(y, form: Form) -> list[tuple[int, int]]:
    """The padding with which y, slid over x, has a position for each cell of the window."""
    axes = zip(form.window, form.dilation, y.shape[1:-1], form.stride, form.space, form.padding)
    return [(low, (w - 1) * d + (n - 1) * s + 1 - size - low) for w, d, n, s, size, (low, _) in axes]


def without_crops(x, padding) -> tuple[jax.Array, Sequence[tuple[int, int]]]:
    """x and its padding, done already if it takes cells away, which no library knows how to."""
    if min(itertools.chain(*padding)) >= 0:
        return x, padding
    return pad_space(x, padding), [(0, 0)] * len(padding)


def _tap_sums(x, y, form: Form):
    """One channel per group, summed over a few rows of a few examples at a time, the rest at the end.

    XLA is slow at sums that leave only the channels, and fastest at those that leave whole rows of so few that it
    writes them out: then it takes several cells of the window in one pass.
    """
    examples, rows, cells = _at_a_time(y, form)
    few = lambda a: a.reshape(a.shape[0] * a.shape[1] // rows, rows, *a.shape[2:])

    def add(sums, some):
        x, y = some
        seen = _seen(x, y.shape[-1], form.padding, form.window, form.stride, form.dilation)
        return tuple(map(jnp.add, sums, _sums([few(tap * y) for tap in seen], cells))), None

    zero = (jnp.zeros((examples * y.shape[1] // rows, *y.shape[2:]), y.dtype),) * math.prod(form.window)
    x, y = (a.reshape(len(a) // examples, examples, *a.shape[1:]) for a in (x, y))
    sums, _ = lax.scan(add, zero, (x, y))
    return jnp.stack([s.sum(range(s.ndim - 1)) for s in sums]).reshape(*form.window, 1, y.shape[-1])


def _at_a_time(y, form: Form) -> tuple[int, int, int]:
    """How many examples, rows and cells of the window.

    With one example both sides' rows would often lie a power of two apart, in the way of each other in the cache.
    """
    examples = next((count for count in (2, 3, 5) if y.shape[0] % count == 0), 1)
    rows = largest_divisor(y.shape[1], ROWS)
    rows = rows if rows >= ROWS // 2 else y.shape[1]
    if examples * math.prod(form.window) * math.prod(y.shape[1:]) * y.dtype.itemsize // rows > SUMS:
        examples, rows = 1, y.shape[1]
    written_out = max(form.stride) == 1 and rows <= ROWS and y.shape[-1] % VECTOR == 0
    return examples, rows, TOGETHER if written_out else 1


def _sums(arrays, together: int):
    """Each of the arrays summed over its second axis, so many of them in one pass."""
    add = lambda a, b: tuple(map(operator.add, a, b))
    for start in range(0, len(arrays), together):
        some = tuple(arrays[start : start + together])
        yield from lax.reduce(some, (some[0].dtype.type(0),) * len(some), add, (1,))
