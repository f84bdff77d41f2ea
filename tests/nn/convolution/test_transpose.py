"""Transposed convolutions against torch, and as the adjoint of a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdl import nn
from fdl.checks import ShapeError
from tests.nn.convolution import by_torch

RANDOM = np.random.default_rng(0)
often = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

CASES = {  # positions, window, options
    "1d": ((4,), (3,), {"stride": 2, "padding": 1, "output_padding": 1}),
    "1d, more than a stride of output_padding": ((4,), (3,), {"dilation": 3, "padding": 2, "output_padding": 2}),
    "2d": ((3, 4), 3, {"padding": 0}),
    "2d grouped": ((3, 2), (3, 2), {"stride": (2, 3), "dilation": (1, 2), "groups": 2, "padding": (1, 0)}),
    "2d stride above the window": ((3, 2), 2, {"stride": (4, 3), "padding": (1, 0), "output_padding": (3, 2)}),
    "3d": ((2, 3, 2), (2, 3, 1), {"stride": (2, 1, 2), "padding": (0, 1, 0), "output_padding": (1, 0, 0)}),
}


def arrays(positions, layer):
    params = jax.eval_shape(layer.init, jax.random.key(0))[0]
    return [RANDOM.normal(size=(2, *positions, 4)), *(RANDOM.normal(size=params[n].shape) for n in ("kernel", "bias"))]


def run(layer):
    return lambda x, kernel, bias: layer.apply({"kernel": kernel, "bias": bias}, {}, x)[0]


@pytest.mark.parametrize(("variant", "case"), CASES.items(), ids=CASES)
def test_torch_agrees(variant, case, agrees):
    pytest.importorskip("torch")
    positions, window, options = case
    layer = nn.conv_transpose(4, 6, window, **options)
    theirs = by_torch.conv_transpose(len(positions), **options)
    agrees.torch(f"nn.conv_transpose, {variant}", run(layer), theirs, *arrays(positions, layer))


@often
@given(data=st.data())
def test_every_geometry_is_that_of_torch(agrees, data):
    pytest.importorskip("torch")
    rank = data.draw(st.integers(1, 2))
    each = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))
    positions, window, stride, dilation, padding = each(1, 4), each(1, 3), each(1, 4), each(1, 3), each(0, 2)
    extra = tuple(data.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    axes = zip(positions, window, stride, dilation, padding, extra)
    assume(all((n - 1) * s + (w - 1) * d + 1 - 2 * p + e > 0 for n, w, s, d, p, e in axes))
    options = {"stride": stride, "dilation": dilation, "padding": padding, "output_padding": extra}
    options["groups"] = data.draw(st.integers(1, 2))
    layer = nn.conv_transpose(4, 2, window, **options)
    theirs = by_torch.conv_transpose(rank, **options)
    inputs = arrays(positions, layer)
    agrees.torch("nn.conv_transpose, any geometry", run(layer), theirs, *inputs, dtypes=("float64",))


@often
@given(data=st.data())
def test_it_is_the_adjoint_of_the_convolution_with_the_same_kernel(agrees, data):
    rank = data.draw(st.integers(1, 3))
    each = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))
    positions, window, stride, dilation = each(1, 3), each(1, 3), each(1, 3), each(1, 2)
    pair = st.tuples(st.integers(0, 2), st.integers(0, 1))
    padding = data.draw(st.one_of(st.sampled_from(["same", "valid"]), st.tuples(*[pair] * rank)))
    extra = (0,) * rank if padding == "same" else tuple(data.draw(st.integers(0, s - 1)) for s in stride)
    if not isinstance(padding, str):
        axes = zip(positions, window, stride, dilation, padding, extra)
        assume(all((n - 1) * s + (w - 1) * d + 1 - sum(p) + e > 0 for n, w, s, d, p, e in axes))
    how = {"stride": stride, "dilation": dilation, "padding": padding, "groups": data.draw(st.integers(1, 2))}
    kernel = RANDOM.normal(size=(*window, 4 // how["groups"], 2))
    y = RANDOM.normal(size=(2, *positions, 2))
    with jax.enable_x64(True):
        back = np.asarray(nn.convolve_transpose(jnp.asarray(y), jnp.asarray(kernel), output_padding=extra, **how))
        x = RANDOM.normal(size=back.shape)
        forth = np.asarray(nn.convolve(jnp.asarray(x), jnp.asarray(kernel), **how))
    agrees.values("nn.convolve_transpose", "<convolve(x), y>", np.vdot(x, back), np.vdot(forth, y))


def test_the_layer_is_the_adjoint_of_conv_with_channels_exchanged():
    conv = nn.conv(4, 6, 3, groups=2, use_bias=False, stride=2)
    back = nn.conv_transpose(6, 4, 3, groups=2, use_bias=False, stride=2)
    params = conv.init(jax.random.key(0))[0]
    assert params["kernel"].shape == back.init(jax.random.key(0))[0]["kernel"].shape
    x, y = (jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(2, 6, 4, 4), (2, 3, 2, 6)]))
    left, right = jnp.vdot(conv.apply(params, {}, x)[0], y), jnp.vdot(x, back.apply(params, {}, y)[0])
    np.testing.assert_allclose(left, right, rtol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid", 1])
def test_sizes(padding):
    layer = nn.conv_transpose(1, 1, (5,), stride=3, padding=padding)
    x = jnp.ones((1, 4, 1))
    cells = layer.apply(layer.init(jax.random.key(0))[0], {}, x)[0].shape[1]
    assert cells == {"same": 4 * 3, "valid": 3 * 3 + 5, 1: 3 * 3 + 5 - 2}[padding]


def test_the_kernel_is_drawn_as_one_from_input_to_output():
    layer = nn.conv_transpose(64, 2, 1, use_bias=False)
    kernel = layer.init(jax.random.key(0))[0]["kernel"]
    assert kernel.shape == (1, 1, 2, 64)
    np.testing.assert_allclose(kernel.std(), 1 / 8, rtol=0.2)
    # Group by group: with one weight in each group, inputs keep to their own group.
    same = nn.conv_transpose(4, 4, 1, groups=2, kernel_init=nn.dirac(groups=2))
    x = jax.random.normal(jax.random.key(1), (1, 2, 2, 4))
    np.testing.assert_array_equal(same.apply(same.init(jax.random.key(0))[0], {}, x)[0], x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 2, "padding": 1, "output_padding": 2}, "below the larger of stride and dilation"),
        ({"dilation": 2, "padding": 1, "output_padding": (0, 2)}, "below the larger of stride and dilation"),
        ({"stride": 2, "padding": 1, "output_padding": -1}, "0 or more"),
        ({"stride": 2, "padding": 1, "output_padding": (1,)}, "on every axis"),
        ({"stride": 2, "output_padding": 1}, "positions \\* stride"),
        ({"stride": 0}, "stride must be"),
    ],
)
def test_impossible_options_are_errors_at_construction(options, words):
    with pytest.raises(ValueError, match=words):
        nn.conv_transpose(2, 2, 3, **options)


@pytest.mark.parametrize(
    ("y", "kernel", "options", "words"),
    [
        ((1, 2, 2), (3, 3, 1, 2), {}, "y\\[None\\]"),
        ((1, 2, 2, 3), (3, 3, 1, 2), {}, "channels of y last"),
        ((1, 2, 2, 3), (3, 3, 1, 3), {"groups": 2}, "groups must divide"),
        ((1, 1, 2, 2), (1, 3, 1, 2), {"padding": 1}, "pad less"),
    ],
)
def test_wrong_shapes_say_what_to_do(y, kernel, options, words):
    with pytest.raises(ShapeError, match=words):
        nn.convolve_transpose(jnp.zeros(y), jnp.zeros(kernel), **options)
