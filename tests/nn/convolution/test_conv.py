"""Convolutions with one shared kernel against torch, which pads both ends alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdl import nn, tree
from tests.nn.convolution import by_torch

RANDOM = np.random.default_rng(0)

CASES = {  # space, window, in_dim, out_dim, options
    "1d": ((7,), (3,), 2, 3, {"stride": 2, "dilation": 2, "padding": 1}),
    "2d": ((5, 6), 3, 2, 3, {"padding": 1}),
    "2d grouped": ((5, 6), (3, 2), 4, 6, {"groups": 2, "stride": (3, 2), "padding": (2, 0)}),
    "3d": ((3, 4, 5), (2, 3, 1), 2, 2, {"stride": (1, 2, 2), "padding": (0, 1, 0)}),
}


def weights(layer):
    """Random parameters of the shapes that the layer makes, the kernel first."""
    made = tree.flatten(jax.eval_shape(layer.init, jax.random.key(0))[0])
    return [RANDOM.normal(size=made[path].shape) for path in sorted(made, key=lambda path: "bias" in path)]


def run(layer):
    """The layer as a function of x, kernel, bias."""
    return lambda x, *params: layer.apply(dict(zip(("kernel", "bias"), params)), {}, x)[0]


def pairs(padding, rank):
    return [(n, n) for n in ((padding,) * rank if isinstance(padding, int) else padding)]


@pytest.mark.parametrize(("variant", "case"), CASES.items(), ids=CASES)
def test_conv_is_that_of_torch(variant, case, agrees):
    pytest.importorskip("torch")
    space, window, in_dim, out_dim, options = case
    layer = nn.conv(in_dim, out_dim, window, **options)
    theirs = by_torch.conv(**{**options, "padding": pairs(options["padding"], len(space))})
    x = RANDOM.normal(size=(2, *space, in_dim))
    agrees.torch(f"nn.conv, {variant}", run(layer), theirs, x, *weights(layer))


def test_same_is_that_of_torch_without_stride(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.conv(2, 3, (5, 3), dilation=(1, 2))

    def theirs(x, kernel, bias):
        kernel = kernel.movedim((-1, -2), (0, 1))
        return torch.nn.functional.conv2d(x, kernel, bias, padding="same", dilation=(1, 2))

    x = RANDOM.normal(size=(2, 5, 6, 2))
    agrees.torch("nn.conv, same", run(layer), by_torch.channels_last(theirs), x, *weights(layer))


def test_depthwise_conv_is_that_of_torch(agrees):
    pytest.importorskip("torch")
    layer = nn.depthwise_conv(3, 3, multiplier=2, stride=2, padding=1)
    theirs = by_torch.conv(padding=[(1, 1)] * 2, stride=2, groups=3)
    x = RANDOM.normal(size=(2, 5, 6, 3))
    agrees.torch("nn.depthwise_conv", run(layer), theirs, x, *weights(layer))


def test_separable_conv_is_two_convolutions_of_torch(agrees):
    pytest.importorskip("torch")
    layer = nn.separable_conv(3, 4, (3, 1), multiplier=2, padding=(1, 0))
    shapes = {"depthwise/kernel": (3, 1, 1, 6), "pointwise/kernel": (6, 4), "pointwise/bias": (4,)}
    made = tree.flatten(jax.eval_shape(layer.init, jax.random.key(0))[0])
    assert {path: leaf.shape for path, leaf in made.items()} == shapes

    def ours(x, *params):
        return layer.apply(tree.unflatten(dict(zip(shapes, params))), {}, x)[0]

    def theirs(x, depthwise, pointwise, bias):
        h = by_torch.conv(padding=[(1, 1), (0, 0)], groups=3)(x, depthwise)
        return by_torch.conv(padding=[(0, 0)] * 2)(h, pointwise[None, None], bias)

    params = [RANDOM.normal(size=shape) for shape in shapes.values()]
    agrees.torch("nn.separable_conv", ours, theirs, RANDOM.normal(size=(2, 5, 4, 3)), *params)


def test_causal_conv_is_a_padded_one_of_torch(agrees):
    pytest.importorskip("torch")
    layer = nn.causal_conv(2, 3, 3, dilation=2)
    x = RANDOM.normal(size=(2, 7, 2))
    agrees.torch("nn.causal_conv", run(layer), by_torch.conv(padding=[(4, 0)], dilation=2), x, *weights(layer))


def test_causal_conv_does_not_see_the_future():
    layer = nn.serial(nn.causal_conv(1, 2, 2), nn.causal_conv(2, 1, 3, dilation=2))
    params, state = layer.init(jax.random.key(0))
    seen = jax.jacrev(lambda x: layer.apply(params, state, x[None, :, None])[0][0, :, 0])(jnp.ones(9))
    ages = np.subtract.outer(np.arange(9), np.arange(9))
    np.testing.assert_array_equal(seen != 0, (ages >= 0) & (ages <= 1 + 2 * 2))


def test_second_layer_of_alexnet_has_two_groups(agrees):
    pytest.importorskip("torch")
    layer = nn.conv(96, 256, 5, groups=2, padding=2)
    assert tree.count(jax.eval_shape(layer.init, jax.random.key(0))[0]) == 307_456  # 5 * 5 * 48 * 256 + 256
    small = nn.conv(6, 8, 5, groups=2, padding=2)
    theirs = by_torch.conv(padding=[(2, 2)] * 2, groups=2)
    agrees.torch("nn.conv, groups=2", run(small), theirs, RANDOM.normal(size=(1, 5, 4, 6)), *weights(small))
    # The two halves do not see each other.
    params, state = small.init(jax.random.key(0))
    one = small.apply(params, state, jnp.zeros((1, 5, 4, 6)).at[..., :3].set(1))[0]
    assert (one[..., :4] != 0).all()
    assert (one[..., 4:] == 0).all()


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_geometry_is_that_of_torch(agrees, data):
    pytest.importorskip("torch")
    rank = data.draw(st.integers(1, 2))
    each = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))
    space, window, stride, dilation, padding = each(1, 6), each(1, 3), each(1, 4), each(1, 2), each(0, 2)
    assume(all(n + 2 * p > (w - 1) * d for n, w, d, p in zip(space, window, dilation, padding)))
    groups = data.draw(st.integers(1, 2))
    layer = nn.conv(2, 4, window, stride=stride, dilation=dilation, groups=groups, padding=padding)
    theirs = by_torch.conv(padding=pairs(padding, rank), stride=stride, dilation=dilation, groups=groups)
    x = RANDOM.normal(size=(2, *space, 2))
    agrees.torch("nn.conv, any geometry", run(layer), theirs, x, *weights(layer), dtypes=("float64",))


@pytest.mark.parametrize("groups", [0, 2, 3])
@pytest.mark.parametrize("make", [nn.conv, nn.conv_transpose])
def test_groups_must_divide_the_channels(make, groups):
    with pytest.raises(ValueError, match="groups must divide in_dim and out_dim"):
        make(3, 4, 3, groups=groups)


def test_a_window_that_does_not_fit_is_an_error():
    layer = nn.conv(1, 1, 4, padding="valid")
    with pytest.raises(ValueError, match="must fit"):
        layer.apply(layer.init(jax.random.key(0))[0], {}, jnp.ones((1, 3, 5, 1)))
