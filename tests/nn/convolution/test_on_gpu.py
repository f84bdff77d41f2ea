"""Cells joined for a GPU: the same convolution, in all three of its forms, and lowered where it pays."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn.convolution.canonical import Form
from fdl.nn.convolution.on_gpu import cells_joined, correlate_on_gpu, joined_cells
from fdl.nn.convolution.primitive import ARRAYS, _contract_by, _definition, _form

DRAWN = np.random.default_rng(0)
drawn = lambda *shape: DRAWN.normal(size=shape).astype("f")

# name: x, kernel, options of convolve, cells joined
FORMS = {
    "same": (drawn(2, 8, 8, 4), drawn(3, 3, 4, 4), {}, 4),
    "wide window": (drawn(2, 6, 12, 3), drawn(5, 5, 3, 5), {}, 2),
    "a window wider than a joined cell": (drawn(1, 4, 12, 2), drawn(3, 9, 2, 2), {}, 2),
    "even window, unequal edges": (drawn(2, 5, 8, 2), drawn(2, 4, 2, 3), {"padding": [(1, 0), (3, 0)]}, 8),
    "valid": (drawn(2, 9, 10, 2), drawn(3, 3, 2, 4), {"padding": "valid"}, 2),
    "more positions than cells": (drawn(2, 4, 8, 2), drawn(3, 3, 2, 4), {"padding": [(1, 1), (5, 5)]}, 8),
    "stride and dilation of other axes": (
        drawn(2, 9, 8, 2),
        drawn(3, 3, 2, 4),
        {"stride": (2, 1), "dilation": (2, 1)},
        4,
    ),
    "one axis": (drawn(2, 16, 2), drawn(4, 2, 3), {"padding": [(3, 0)]}, 8),
    "three axes": (drawn(2, 3, 4, 8, 2), drawn(2, 2, 3, 2, 3), {}, 4),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("leave", ARRAYS)
def test_joined_cells_are_the_same_convolution(name, leave):
    x, kernel, options, joined = FORMS[name]
    given = {"stride": 1, "dilation": 1, "groups": 1, "padding": "same"} | options
    require_the_same(x, kernel, _form(x, kernel, **given), joined, leave)


def test_crops_are_joined_too():
    form = Form((9, 14), (3, 3), (1, 1), (1, 1), ((0, 0), (-3, -1)), 1)
    for leave in ARRAYS:
        require_the_same(drawn(2, 9, 14, 2), drawn(3, 3, 2, 4), form, 2, leave)


def require_the_same(x, kernel, form, joined, leave):
    arrays = {"x": x, "kernel": kernel, "y": drawn(*_definition(x, kernel, form).shape)}
    of = [array for name, array in arrays.items() if name != leave]
    wanted = _contract_by(_definition, *of, leave=leave, form=form)
    found = _contract_by(partial(joined_cells, joined=joined), *of, leave=leave, form=form)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def joined_for(x, kernel, **options):
    form = _form(x, kernel, **{"stride": 1, "dilation": 1, "groups": 1, "padding": "same"} | options)
    return cells_joined(x, kernel, form)


def half(*shape):
    return jnp.zeros(shape, "bfloat16")


def test_cells_are_joined_up_to_so_many_channels_where_they_fit():
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 16, 16)) == 4
    assert joined_for(half(1, 32, 32, 3), half(3, 3, 3, 16)) == 4
    assert joined_for(half(1, 32, 30, 16), half(3, 3, 16, 16)) == 2
    assert joined_for(half(1, 32, 32, 1), half(3, 3, 1, 2)) == 32
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 16, 16), padding=[(1, 1), (1, 2)]) == 1  # an odd position
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 16, 64)) == 1


def test_cells_stay_apart_where_it_is_not_the_same_or_does_not_pay():
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 16, 16), stride=2) == 1
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 16, 16), dilation=2) == 1
    assert joined_for(half(1, 32, 32, 16), half(3, 3, 4, 16), groups=4) == 1
    assert joined_for(half(1, 32, 32, 16), half(3, 1, 16, 16)) == 1
    assert joined_for(jnp.zeros((1, 32, 32, 16)), jnp.zeros((3, 3, 16, 16))) == 1


def test_an_nvidia_gpu_is_given_wide_channels_in_both_directions():
    x, kernel = half(2, 8, 32, 16), half(3, 3, 16, 16)
    both = jax.jit(jax.value_and_grad(lambda x, kernel: nn.convolve(x, kernel).sum(dtype="float32"), (0, 1)))

    def widths(platform):
        lines = both.trace(x, kernel).lower(lowering_platforms=(platform,)).as_text().splitlines()
        return ["x64xbf16" in line for line in lines if "stablehlo.convolution" in line]

    assert widths("cuda") == 3 * [True]
    assert widths("rocm") == 3 * [False]


def test_half_precision_is_as_exact_as_by_definition():
    x, kernel = jnp.bfloat16(drawn(4, 8, 8, 16)), jnp.bfloat16(drawn(3, 3, 16, 16))
    form = _form(x, kernel, 1, 1, 1, "same")
    y = jnp.bfloat16(drawn(4, 8, 8, 16))
    exact = [jnp.float32(a) for a in (x, kernel, y)]
    for leave, i, j in (("y", 0, 1), ("x", 1, 2), ("kernel", 0, 2)):
        wanted = _contract_by(_definition, exact[i], exact[j], leave=leave, form=form)
        found = _contract_by(correlate_on_gpu, (x, kernel, y)[i], (x, kernel, y)[j], leave=leave, form=form)
        assert found.dtype == "bfloat16"
        assert jnp.linalg.norm(jnp.float32(found) - wanted) < 4e-3 * jnp.linalg.norm(wanted)
