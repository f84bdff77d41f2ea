"""How a convolution and its gradients are computed on a CPU: by Eigen, and where `fdl.compile` says so by oneDNN.

Eigen gathers what each window sees before it multiplies, oneDNN reads it where it lies.  XLA knows of one call, the
convolution, as which each of the three forms is written.
"""

import math

from jax import lax

from fdl.cpu.calls import convolution, on_one_device, pays
from fdl.cpu.unsaved import hold
from fdl.nn.apart import as_call
from fdl.nn.convolution.canonical import Form, contract_on_cpu, input_by_phases, turned_kernel, without_crops
from fdl.nn.convolution.kernel_by_onednn import has_a_kernel_by_onednn, kernel_by_onednn
from fdl.nn.pooling.window import positions


def lower_on_cpu(context, first, second, *, leave, form: Form, by_onednn: bool = False):
    """The lowering rule of the trilinear form."""
    called = by_onednn and on_one_device(context) and is_worth_a_call(context.avals_in, leave, form)
    if called:
        hold()
    return (LOWER_CALLED if called else LOWER)(context, first, second, leave=leave, form=form)


def is_worth_a_call(types, leave: str, form: Form) -> bool:
    """Whether oneDNN computes this form of these types, and so much of it that the 10 µs of a call do not count."""
    if leave == "kernel":
        x, y = types
        operations = 2 * y.size * math.prod(form.window) * x.shape[-1] // form.groups
        return has_a_kernel_by_onednn(x, y, form) and pays(operations, *types)
    image, kernel = types if leave == "y" else reversed(types)
    return pays(2 * image.shape[0] * math.prod(positions(*form[:5])) * kernel.size, *types)


def contract_by_onednn(first, second, *, leave, form: Form):
    """The array left out of the trilinear form, as calls of oneDNN."""
    if leave == "kernel":
        return kernel_by_onednn(first, second, form)
    if leave == "y":
        return _slide(first, second, form.padding, form.stride, form.dilation, form.groups)
    if max(form.stride) > 1 and first.shape[-2] == 1:
        return _input_with_holes(first, second, form)
    return input_by_phases(first, second, form, _slide)


def _input_with_holes(kernel, y, form: Form):
    """The gradient of the input as one convolution of y with zeros between its cells.

    With one channel a group the zeros that are multiplied cost less than putting phases of the stride into each other.
    """
    axes = zip(form.space, form.window, form.dilation, form.stride, form.padding, y.shape[1:-1])
    ends = [((w - 1) * d - low, n + low - (count - 1) * s - 1) for n, w, d, s, (low, _), count in axes]
    holes = [(0, 0, 0), *((0, 0, s - 1) for s in form.stride), (0, 0, 0)]
    one = (1,) * len(form.stride)
    return _slide(
        lax.pad(y, y.dtype.type(0), holes), turned_kernel(kernel, form), ends, one, form.dilation, form.groups
    )


def _slide(x, kernel, padding, stride, dilation, groups):
    x, padding = without_crops(x, padding)
    counts = positions(x.shape[1:-1], kernel.shape[:-2], stride, dilation, padding)
    return convolution(x, kernel, counts, stride, dilation, padding, groups)


LOWER, LOWER_CALLED = as_call(contract_on_cpu), as_call(contract_by_onednn)
