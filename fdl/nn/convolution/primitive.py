"""Convolution whose derivatives of every order run fast on a CPU, in loops as well as outside them.

A convolution is one trilinear form  sum_{n,t,w,i,o} x[n, t*stride + w*dilation - low, i] kernel[w, i, o] y[n, t, o].
Leaving out one of the three arrays gives the output, the gradient of the input and the gradient of the kernel, and each
derivative of these is one of them again.  So there is one primitive, `contract`, which leaves out one array.

It is lowered as `on_cpu.py` and `on_gpu.py` say, and elsewhere as JAX's own convolution and its transposes.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from fdl.checks import DtypeError, ShapeError, describe, require_float
from fdl.nn.convolution.canonical import Form
from fdl.nn.convolution.eigen import correlate
from fdl.nn.convolution.geometry import output_paddings, transposed_space
from fdl.nn.convolution.on_cpu import lower_on_cpu
from fdl.nn.convolution.on_gpu import correlate_on_gpu
from fdl.nn.pooling.window import Padding, padding_pairs, per_axis, positions


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

    Any derivative, vmap and loop works and stays fast; on a CPU 16-bit arrays are summed in float32, on an NVIDIA GPU
    their neighbouring cells may be joined, so that an infinite one makes NaN of more positions than see it.  Slower is
    only vmap over x and kernel together, which becomes a grouped convolution.  plain=True is the definition by
    `lax.conv_general_dilated`, differentiated by JAX.

    Raises ShapeError, DtypeError.
    """
    form = _form(x, kernel, stride, dilation, groups, padding)
    if plain:
        return _definition(x, kernel, form)
    return _contract(_vary_alike({"x": x, "kernel": kernel}), leave="y", form=form)


def convolve_transpose(
    y: jax.Array,
    kernel: jax.Array,
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding: Padding = "same",
    output_padding: int | Sequence[int] = 0,
) -> jax.Array:
    """The adjoint of `convolve` in x for the same kernel.

    (batch, *positions, out_dim), (*window, in_dim // groups, out_dim) -> (batch, *space, in_dim)

    That is, <convolve(x, kernel), y> = <x, convolve_transpose(y, kernel)> for every x.
    An axis of space has (positions - 1) stride + (window - 1) dilation + 1 - low - high + output_padding cells, with
    padding "same" positions * stride.  A stride takes several spaces to the same positions: output_padding says which.
    Raises ShapeError, DtypeError; ValueError for an output_padding that no convolution has.
    """
    rank = _rank(y, kernel, "y (batch, *positions, out_dim)")
    if groups < 1 or y.shape[-1] != kernel.shape[-1] or kernel.shape[-1] % groups:
        raise ShapeError(
            f"kernel must be (*window, in_dim // groups, out_dim) with the channels of y last, got {describe(kernel)} "
            f"for y {describe(y)} and groups={groups}; groups must divide out_dim"
        )
    window, stride, dilation = kernel.shape[:-2], per_axis(stride, rank, "stride"), per_axis(dilation, rank, "dilation")
    extra = output_paddings(output_padding, stride, dilation, padding)
    space, pads = transposed_space(y.shape[1:-1], window, stride, dilation, padding, extra)
    form = Form(space, window, stride, dilation, pads, groups)
    return _contract(_vary_alike({"kernel": kernel, "y": y}), leave="x", form=form)


def _form(x, kernel, stride, dilation, groups, padding) -> Form:
    rank = _rank(x, kernel, "x (batch, *space, in_dim)")
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


def _rank(x, kernel, wanted: str) -> int:
    """The number of axes of space that the array and the kernel agree on."""
    name = wanted.split()[0]
    require_float(x, name=name)
    require_float(kernel, name="kernel")
    if x.dtype != kernel.dtype:
        raise DtypeError(
            f"{name} and kernel must have one dtype, got {describe(x)} and {describe(kernel)}; cast one of them"
        )
    rank = kernel.ndim - 2
    if rank not in (1, 2, 3) or x.ndim != rank + 2:
        raise ShapeError(
            f"arrays must be {wanted} and kernel (*window, in_dim // groups, out_dim) with 1, 2 or 3 axes of space, "
            f"got {describe(x)} and {describe(kernel)}; add a missing batch axis with {name}[None]"
        )
    return rank


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


def _type(first, second, *, leave, form: Form, by_onednn=False):
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
    return correlate(x, kernel, form.padding, form.stride, form.dilation, form.groups)


def _contract_by(correlate: Callable, first, second, *, leave, form):
    """The array left out, where correlate(x, kernel, form) leaves out y."""
    if leave == "y":
        return correlate(first, second, form)
    if leave == "x":
        linear, y = lambda x: correlate(x, first, form), second
    else:
        linear, y = lambda kernel: correlate(first, kernel, form), second
    return jax.linear_transpose(linear, _type(jax.typeof(first), jax.typeof(second), leave=leave, form=form))(y)[0]


contract_p.def_impl(jax.jit(lambda a, b, **how: contract_p.bind(a, b, **how), static_argnames=("leave", "form")))
contract_p.def_abstract_eval(_type)
ad.defbilinear(contract_p, partial(_transpose, 0), partial(_transpose, 1))
batching.primitive_batchers[contract_p] = _batch
mlir.register_lowering(contract_p, mlir.lower_fun(partial(_contract_by, _definition), multiple_results=False))
mlir.register_lowering(
    contract_p, mlir.lower_fun(partial(_contract_by, correlate_on_gpu), multiple_results=False), platform="cuda"
)
mlir.register_lowering(contract_p, lower_on_cpu, platform="cpu")
