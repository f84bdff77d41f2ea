"""Pooling layers against torch, at ties and at the edges."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdl import nn, tree
from fdl.checks import ShapeError
from tests.nn.convolution.by_torch import channels_last

RANDOM = np.random.default_rng(0)

CASES = {  # space, window, stride, padding
    "1d": ((9,), 3, 2, 1),
    "2d": ((7, 5), 2, None, 0),
    "2d, overlapping": ((6, 5), (3, 2), (1, 2), 1),
    "2d, AlexNet": ((13, 13), 3, 2, 0),
    "2d, stride above the window": ((8, 7), 2, (5, 3), 0),
    "2d, large": ((9, 8), (7, 5), (1, 2), 2),  # one axis after another
    "3d": ((4, 5, 6), 2, (2, 1, 2), 0),
}
every_case = pytest.mark.parametrize(("variant", "case"), CASES.items(), ids=CASES)


def run(layer):
    """The layer, which has no parameters, as a function."""
    return lambda x: layer.apply({}, {}, x)[0]


def by_torch(kind, rank, *args, **options):
    import torch

    return channels_last(lambda x: getattr(torch.nn.functional, f"{kind}{rank}d")(x, *args, **options))


def rounded(*shape):
    return np.round(RANDOM.normal(size=shape))  # many ties


@every_case
@pytest.mark.parametrize("kind", ["max", "min", "average", "average, count_padding", "sum"])
def test_torch_agrees(kind, variant, case, agrees):
    pytest.importorskip("torch")
    space, window, stride, padding = case
    how = {"stride": stride, "padding": padding}
    torch_pool = partial(by_torch, rank=len(space), kernel_size=window, **how)
    cells = np.prod(window) if isinstance(window, tuple) else window ** len(space)
    ours, theirs = {
        "max": lambda: (nn.max_pool(window, **how), torch_pool("max_pool")),
        "min": lambda: (nn.min_pool(window, **how), lambda x: -torch_pool("max_pool")(-x)),
        "average": lambda: (nn.average_pool(window, **how), torch_pool("avg_pool", count_include_pad=False)),
        "average, count_padding": lambda: (nn.average_pool(window, count_padding=True, **how), torch_pool("avg_pool")),
        "sum": lambda: (nn.sum_pool(window, **how), lambda x: torch_pool("avg_pool")(x) * cells),
    }[kind]()
    name, _, option = kind.partition(", ")
    agrees.torch(f"nn.{name}_pool, {option or variant}", run(ours), theirs, rounded(2, *space, 3))


@pytest.mark.parametrize(("order", "space", "window"), [(2, (7,), 3), (1, (5, 4), (2, 3)), (3, (3, 4, 5), 2)])
def test_lp_pool_is_that_of_torch(order, space, window, agrees):
    torch = pytest.importorskip("torch")
    layer = nn.lp_pool(window, order=order, stride=1)
    pool = getattr(torch.nn.functional, f"lp_pool{len(space)}d")
    theirs = channels_last(lambda x: pool(x.abs(), order, window, stride=1))
    agrees.torch(f"nn.lp_pool, order={order}", run(layer), theirs, RANDOM.normal(size=(2, *space, 3)))


@pytest.mark.parametrize("order", [1, 1.5, 2, 3])
def test_lp_pool_of_zeros_has_gradient_zero(order):
    pool = run(nn.lp_pool(2, order=order))
    x = jnp.zeros((1, 4, 2, 1)).at[0, 0, 0].set(-3)
    y, grad = jax.value_and_grad(lambda x: jnp.sum(pool(x)))(x)
    np.testing.assert_allclose(y, 3, rtol=1e-6)
    np.testing.assert_allclose(grad, jnp.zeros_like(x).at[0, 0, 0].set(-1), rtol=1e-6)


@pytest.mark.parametrize("order", [0, 0.5, float("inf"), float("nan")])
def test_lp_pool_needs_a_norm(order):
    with pytest.raises(ValueError, match="at least 1"):
        nn.lp_pool(2, order=order)


def test_subsampling_of_lenet_has_twelve_parameters(agrees):
    pytest.importorskip("torch")
    layer = nn.subsampling(6)
    params, state = layer.init(jax.random.key(0))
    assert tree.count(params) == 12  # S2: a coefficient and a bias for each of 6 maps
    x = RANDOM.normal(size=(2, 4, 6, 6))
    mean = nn.average_pool(2).apply({}, {}, jnp.asarray(x, jnp.float32))[0]
    np.testing.assert_allclose(layer.apply(params, state, jnp.asarray(x, jnp.float32))[0], mean, rtol=1e-5, atol=1e-6)
    ours = lambda x, scale, bias: layer.apply({"scale": scale, "bias": bias}, {}, x)[0]
    theirs = lambda x, scale, bias: 4 * by_torch("avg_pool", 2, 2)(x) * scale + bias
    agrees.torch("nn.subsampling", ours, theirs, x, RANDOM.normal(size=6), RANDOM.normal(size=6))


@pytest.mark.parametrize("space", [(7,), (3, 4), (2, 3, 1)], ids=str)
def test_global_pools_are_sums_over_space(space, agrees):
    pytest.importorskip("torch")
    x = RANDOM.normal(size=(2, *space, 3))
    axes = tuple(range(1, len(space) + 1))
    agrees.torch("nn.global_max_pool", nn.global_max_pool, lambda x: x.amax(axes), x)
    agrees.torch("nn.global_min_pool", nn.global_min_pool, lambda x: x.amin(axes), x)
    agrees.torch("nn.global_average_pool", nn.global_average_pool, lambda x: x.mean(axes), x)
    agrees.torch("nn.global_sum_pool", nn.global_sum_pool, lambda x: x.sum(axes), x)


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_geometry_is_that_of_torch(agrees, data):
    pytest.importorskip("torch")
    rank = data.draw(st.integers(1, 2))  # on volumes torch refuses windows that only fit with padding
    each = lambda low, high: data.draw(st.tuples(*[st.integers(low, high)] * rank))
    space, window, stride = each(1, 5), each(1, 4), each(1, 4)
    padding = tuple(data.draw(st.integers(0, w // 2)) for w in window)  # torch allows half a window
    assume(all(n + 2 * p >= w for n, w, p in zip(space, window, padding)))
    how = {"stride": stride, "padding": padding}
    ours = [run(nn.max_pool(window, **how)), run(nn.average_pool(window, **how))]
    theirs = [
        by_torch("max_pool", rank, window, **how),
        by_torch("avg_pool", rank, window, count_include_pad=False, **how),
    ]
    both = lambda pools: lambda x: tuple(pool(x) for pool in pools)
    name = "nn.max_pool, and average_pool, any geometry"
    agrees.torch(name, both(ours), both(theirs), rounded(2, *space, 2), dtypes=("float64",))


@pytest.mark.parametrize("layer", [nn.max_pool(4), nn.min_pool(4), nn.sum_pool(4), nn.lp_pool(4), nn.subsampling(1, 4)])
def test_a_window_larger_than_the_input_is_an_error(layer):
    with pytest.raises(ShapeError, match="must fit"):
        layer.apply(layer.init(jax.random.key(0))[0], {}, jnp.ones((1, 3, 5, 1)))


def test_global_pools_need_a_batch_axis():
    with pytest.raises(ShapeError, match=r"x\[None\]"):
        nn.global_sum_pool(jnp.ones((3, 2)))


@pytest.mark.parametrize("layer", [nn.sum_pool(64), nn.lp_pool(64)], ids=repr)
def test_short_floats_are_summed_long(layer):
    y = jax.jit(run(layer))(jnp.ones((1, 64, 64, 1), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert y.item() == {"sum_pool": 4096, "lp_pool": 64}[layer.kind]
