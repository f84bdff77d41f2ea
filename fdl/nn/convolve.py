"""Convolution whose derivatives of every order run fast on a CPU, in loops as well as outside them.

A convolution is one trilinear form  sum_{n,t,w,i,o} x[n, t*stride + w*dilation - low, i] kernel[w, i, o] y[n, t, o].
Leaving out one of the three arrays gives the output, the gradient of the input and the gradient of the kernel, and each
derivative of these is one of them again.  So there is one primitive, `contract`, which leaves out one array.

XLA brings convolutions into the form its fast CPU code needs only in the top-level program; inside scan, while, cond
and remat the gradients JAX writes run up to a hundred times slower.  So on a CPU all three contractions are written as
convolutions that have that form already: (batch, *space, dim) by (*window, dim, dim).
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from fdl.checks import DtypeError, ShapeError, describe, require_float
from fdl.nn.window import Padding, pad_space, padding_pairs, per_axis, positions, taps

MAX_TAPS = 64  # up to so many window positions are summed as shifted products when a group has one channel
CHUNK, CACHE = 16, 8 << 20  # examples at a time once a kernel gradient reads more bytes than this


class Form(NamedTuple):
    """A convolution apart from its numbers: how the window walks over space."""

    space: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int


def convolve(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "same",
    plain: bool = False,
) -> jax.Array:
    """Cross-correlate x with a kernel, in one, two or three dimensions of space.

    (batch, *space, in_dim), (*window, in_dim // groups, out_dim) -> (batch, *positions, out_dim)

    padding "same" gives ceil(space / stride) positions and puts the odd cell at the end (the rule of TensorFlow and
    XLA; torch differs for strides above 1); "valid" adds nothing; a number pads both ends of every axis; a sequence
    gives a number or a (low, high) pair per axis.  Zeros are padded.

    Any derivative, vmap and loop works and stays fast; on a CPU 16-bit arrays are summed in float32.  Slower is only
    vmap over x and kernel together, which becomes a grouped convolution.  plain=True is the definition by
    `lax.conv_general_dilated`, differentiated by JAX.

    Raises ShapeError, DtypeError.
    """
    form = _form(x, kernel, stride, dilation, groups, padding)
    if plain:
        return _definition(x, kernel, form)
    return _contract(_vary_alike({"x": x, "kernel": kernel}), leave="y", form=form)


def _form(x, kernel, stride, dilation, groups, padding) -> Form:
    require_float(x)
    require_float(kernel, name="kernel")
    if x.dtype != kernel.dtype:
        raise DtypeError(
            f"x and kernel must have one dtype, got {describe(x)} and {describe(kernel)}; cast one of them"
        )
    rank = kernel.ndim - 2
    if rank not in (1, 2, 3) or x.ndim != rank + 2:
        raise ShapeError(
            "x must be (batch, *space, in_dim) and kernel (*window, in_dim // groups, out_dim) with 1, 2 or 3 axes of "
            f"space, got {describe(x)} and {describe(kernel)}; add a missing batch axis with x[None]"
        )
    if groups < 1 or x.shape[-1] != groups * kernel.shape[-2] or kernel.shape[-1] % groups:
        raise ShapeError(
            f"kernel must be (*window, in_dim // groups, out_dim), got {describe(kernel)} for x {describe(x)} and "
            f"groups={groups}; groups must divide in_dim and out_dim, and channels come last"
        )
    space, window = x.shape[1:-1], kernel.shape[:-2]
    stride, dilation = per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    padding = padding_pairs(padding, space, window, stride, dilation)
    positions(space, window, stride, dilation, padding)
    return Form(space, window, stride, dilation, padding, groups)


# --- the primitive and its derivatives ------------------------------------------------------------------------------

ARRAYS = ("x", "kernel", "y")
contract_p = Primitive("fdl_contract")


def _vary_alike(arrays: dict) -> dict:
    """Inside shard_map, let every array vary along the mesh axes of all; its derivative sums a kernel's gradient."""
    varying = {name: jax.typeof(a).manual_axis_type.varying for name, a in arrays.items()}
    axes = frozenset().union(*varying.values())
    return {name: lax.pcast(a, tuple(axes - varying[name]), to="varying") for name, a in arrays.items()}


def _contract(arrays: dict, *, leave: str, form: Form) -> jax.Array:
    """The trilinear form of two of the three arrays, as an array of the third kind."""
    first, second = (arrays[name] for name in ARRAYS if name != leave)
    return contract_p.bind(first, second, leave=leave, form=form)


def _type(first, second, *, leave, form: Form):
    if leave == "y":
        shape = (first.shape[0], *positions(*form[:5]), second.shape[-1])
    elif leave == "x":
        shape = (second.shape[0], *form.space, first.shape[-2] * form.groups)
    else:
        shape = (*form.window, first.shape[-1] // form.groups, second.shape[-1])
    return first.update(shape=shape, weak_type=False)  # varies along the same mesh axes


def _transpose(position, cotangent, first, second, *, leave, form):
    names = [name for name in ARRAYS if name != leave]
    given = (first, second)[1 - position]
    return _contract({leave: cotangent, names[1 - position]: given}, leave=names[position], form=form)


def _batch(arrays, axes, *, leave, form):
    """Put the mapped axis of two arrays into the index they share (batch, in or out channel), of three into groups."""
    names = [name for name in ARRAYS if name != leave]
    mapped = {leave} | {name for name, axis in zip(names, axes) if axis is not None}
    count = next(a.shape[axis] for a, axis in zip(arrays, axes) if axis is not None)
    folded = {
        name: a if axis is None else _fold(jnp.moveaxis(a, axis, 0), *_shared(name, mapped, form.groups))
        for name, a, axis in zip(names, arrays, axes)
    }
    groups = form.groups * count if len(mapped) == 3 else form.groups
    out = _contract(folded, leave=leave, form=form._replace(groups=groups))
    return _unfold(out, count, *_shared(leave, mapped, form.groups)), 0


def _shared(name: str, mapped: set, groups: int) -> tuple[int, int]:
    """The axis of array `name` that takes a mapped axis shared by all arrays in mapped, and how much goes before it."""
    if len(mapped) == 3:
        return -1, 1
    if mapped == {"x", "y"}:
        return 0, 1
    return (-2, 1) if name == "kernel" and mapped == {"x", "kernel"} else (-1, groups)


def _fold(a, axis, lead):
    axis = axis % (a.ndim - 1)
    shape = a.shape[1:]
    a = a.reshape(a.shape[0], *shape[:axis], lead, shape[axis] // lead, *shape[axis + 1 :])
    return jnp.moveaxis(a, 0, axis + 1).reshape(*shape[:axis], -1, *shape[axis + 1 :])


def _unfold(a, count, axis, lead):
    axis = axis % a.ndim
    shape = (*a.shape[:axis], a.shape[axis] // count, *a.shape[axis + 1 :])
    a = a.reshape(*a.shape[:axis], lead, count, shape[axis] // lead, *a.shape[axis + 1 :])
    return jnp.moveaxis(a, axis + 1, 0).reshape(count, *shape)


def _definition(x, kernel, form: Form):
    return _correlate(x, kernel, form.padding, form.stride, form.dilation, form.groups)


def _correlate(x, kernel, padding, stride, dilation, groups):
    letters = "DHW"[-len(stride) :]
    layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
    return lax.conv_general_dilated(
        x, kernel, stride, padding, rhs_dilation=dilation, dimension_numbers=layout, feature_group_count=groups
    )


def _contract_by_definition(first, second, *, leave, form):
    if leave == "y":
        return _definition(first, second, form)
    if leave == "x":
        linear, y = lambda x: _definition(x, first, form), second
    else:
        linear, y = lambda kernel: _definition(first, kernel, form), second
    return jax.linear_transpose(linear, _type(jax.typeof(first), jax.typeof(second), leave=leave, form=form))(y)[0]


# --- a CPU: as convolutions in canonical form -----------------------------------------------------------------------


def _contract_on_cpu(first, second, *, leave, form):
    dtype = first.dtype
    if dtype.itemsize == 2:
        first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    if leave == "y":
        return _slide(first, second, form.padding, form.stride, form.dilation, form.groups).astype(dtype)
    return (_input if leave == "x" else _kernel)(first, second, form).astype(dtype)


def _slide(x, kernel, padding, stride, dilation, groups):
    """Canonical convolution; with one channel per group, a sum of shifted products."""
    window = kernel.shape[:-2]
    if kernel.shape[-2] > 1 or math.prod(window) > MAX_TAPS:
        if min(itertools.chain(*padding)) < 0:
            x, padding = pad_space(x, padding), [(0, 0)] * len(window)
        return _correlate(x, kernel, padding, stride, dilation, groups)
    seen = taps(_seen(x, kernel.shape[-1], padding), window, stride, dilation)
    weights = kernel.reshape(-1, *(1,) * (x.ndim - 1), kernel.shape[-1])
    return reduce(jnp.add, map(jnp.multiply, seen, weights))


def _seen(x, dim, padding):
    """x padded, each channel repeated for the outputs of its group (a single channel broadcasts by itself)."""
    wide = x if x.shape[-1] in (1, dim) else jnp.repeat(x, dim // x.shape[-1], axis=-1)
    return lax.optimization_barrier(pad_space(wide, padding))  # else padded again in every product


def _input(kernel, y, form: Form):
    """One convolution of y for each phase of the stride, so that no product has a zero put in by it; interleaved."""
    groups, (in_dim, out_dim) = form.groups, kernel.shape[-2:]
    kernel = kernel.reshape(*form.window, in_dim, groups, out_dim // groups)
    kernel = jnp.flip(jnp.moveaxis(kernel, -1, -3).swapaxes(-1, -2), range(len(form.window)))
    kernel = lax.optimization_barrier(kernel.reshape(*form.window, out_dim // groups, groups * in_dim))
    phases = [_phase(kernel, y, form, offset) for offset in itertools.product(*map(range, form.stride))]
    return _interleave(phases, form)


def _phase(kernel, y, form: Form, offset):
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
    return _slide(y, kernel[tuple(cuts)], padding, (1,) * len(cuts), dilation, form.groups)


def _interleave(phases, form: Form):
    rank, x = len(form.space), phases[0]
    batch, *size, dim = x.shape
    if len(phases) > 1:
        x = jnp.stack(phases).reshape(*form.stride, batch, *size, dim)
        order = [rank, *itertools.chain(*((rank + 1 + a, a) for a in range(rank))), 2 * rank + 1]
        x = x.transpose(order).reshape(batch, *(n * s for n, s in zip(size, form.stride)), dim)
    return x[(slice(None), *map(slice, form.space))]


def _kernel(x, y, form: Form):
    """The kernel gradient, a few examples at a time when all of them would not stay in the cache."""
    part = _tap_sums if x.shape[-1] == form.groups > 1 and math.prod(form.window) <= MAX_TAPS else _kernel_of_part
    if x.shape[0] % CHUNK or (x.size + y.size) * x.dtype.itemsize < CACHE:
        return part(x, y, form)
    x, y = (a.reshape(-1, CHUNK, *a.shape[1:]) for a in (x, y))
    zero = jnp.zeros((*form.window, x.shape[-1] // form.groups, y.shape[-1]), x.dtype)
    return lax.scan(lambda total, xy: (total + part(*xy, form), None), zero, (x, y))[0]


def _kernel_of_part(x, y, form: Form):
    """Convolution of x with y over batch and space, channels of x in the place of the batch."""
    batch, *space, in_dim = x.shape
    if form.window == form.stride == (1,) * len(space) and x.shape[:-1] == y.shape[:-1] and form.groups == 1:
        return (x.reshape(-1, in_dim).T @ y.reshape(-1, y.shape[-1])).reshape(*form.window, in_dim, -1)
    axes = zip(form.window, form.dilation, y.shape[1:-1], form.stride, space, form.padding)
    padding = [(low, (w - 1) * d + (n - 1) * s + 1 - size - low) for w, d, n, s, size, (low, _) in axes]
    x = jnp.moveaxis(x.reshape(batch, *space, form.groups, in_dim // form.groups), (0, -1), (-1, 0))
    x = x.reshape(in_dim // form.groups, *space, form.groups * batch)
    x, y = lax.optimization_barrier((x, jnp.moveaxis(y, 0, -2)))  # else the transposes are folded back
    return jnp.moveaxis(_slide(x, y, padding, form.dilation, form.stride, form.groups), 0, -2)


def _tap_sums(x, y, form: Form):
    """One channel per group, summed example by example: XLA is slow at sums that leave only the channels."""
    narrow = partial(jnp.sum, axis=-2) if len(form.window) > 1 else lambda a: a

    def add(sums, example):
        x, y = example
        seen = taps(_seen(x[None], y.shape[-1], form.padding), form.window, form.stride, form.dilation)
        return tuple(s + narrow(tap[0] * y) for s, tap in zip(sums, seen)), None

    zero = (jnp.zeros_like(narrow(y[0])),) * math.prod(form.window)
    sums, _ = lax.scan(add, zero, (x, y))
    return jnp.stack([s.sum(range(s.ndim - 1)) for s in sums]).reshape(*form.window, 1, y.shape[-1])


contract_p.def_impl(jax.jit(lambda a, b, **how: contract_p.bind(a, b, **how), static_argnames=("leave", "form")))
contract_p.def_abstract_eval(_type)
ad.defbilinear(contract_p, partial(_transpose, 0), partial(_transpose, 1))
batching.primitive_batchers[contract_p] = _batch
mlir.register_lowering(contract_p, mlir.lower_fun(_contract_by_definition, multiple_results=False))
mlir.register_lowering(contract_p, mlir.lower_fun(_contract_on_cpu, multiple_results=False), platform="cpu")
