"""Root-mean-square, group, instance and response normalisation against torch, and their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(2.0, 3.0, size=(5, 3, 4, 6))
SCALE, BIAS = np.linspace(0.5, 2, 6), np.linspace(-1, 1, 6)


def ours(layer):
    return lambda x, *params: layer.apply(dict(zip(("scale", "bias"), params)), {}, x)[0]


def theirs(f):
    """f on channels first."""
    return lambda x, *params: f(x.movedim(-1, 1), *params).movedim(1, -1)


def test_rms_norm_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    f = lambda x, scale: torch.nn.functional.rms_norm(x, (6,), scale, 1e-6)
    agrees.torch("nn.rms_norm", ours(nn.rms_norm(6)), f, X, SCALE)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_equals_torch(agrees, groups):
    torch = pytest.importorskip("torch")
    f = lambda x, scale, bias: torch.nn.functional.group_norm(x, groups, scale, bias, 1e-3)
    agrees.torch("nn.group_norm", ours(nn.group_norm(6, groups, eps=1e-3)), theirs(f), X, SCALE, BIAS)


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_equals_torch(agrees, affine):
    torch = pytest.importorskip("torch")
    f = lambda x, *params: torch.nn.functional.instance_norm(x, None, None, *params)
    params = (SCALE, BIAS) if affine else ()
    agrees.torch("nn.instance_norm", ours(nn.instance_norm(6, affine=affine)), theirs(f), X, *params)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_norm_equals_torch_with_alpha_times_size(agrees, size):
    torch = pytest.importorskip("torch")
    f = lambda x: torch.nn.functional.local_response_norm(x, size, alpha=0.1 * size, beta=0.6, k=1.5)
    layer = nn.local_response_norm(size, alpha=0.1, beta=0.6, k=1.5)
    agrees.torch("nn.local_response_norm", ours(layer), theirs(f), X)


def test_filter_response_norm_is_the_papers_formula(agrees):
    torch = pytest.importorskip("torch")

    def paper(x, scale, bias, threshold):
        square = x.pow(2).mean((1, 2), keepdim=True)
        return torch.maximum(scale * x / torch.sqrt(square + 1e-6) + bias, threshold)

    def ours(x, scale, bias, threshold):
        return nn.filter_response_norm(6).apply({"scale": scale, "bias": bias, "threshold": threshold}, {}, x)[0]

    agrees.torch("nn.filter_response_norm", ours, paper, X, SCALE, BIAS, BIAS[::-1] / 2)


def test_global_response_norm_is_the_papers_formula(agrees):
    torch = pytest.importorskip("torch")

    def paper(x, scale, bias):
        length = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        return scale * (x * length / (length.mean(-1, keepdim=True) + 1e-6)) + bias + x

    silent = np.where(np.arange(6) == 2, 0.0, X)
    agrees.torch("nn.global_response_norm", ours(nn.global_response_norm(6)), paper, silent, SCALE, BIAS)


def test_local_response_norm_has_the_constants_of_alexnet():
    x = np.array([[3.0, 1.0, 0.0, 2.0, 5.0, 4.0]], np.float32) * 30
    want = [x[0, i] / (2 + 1e-4 * (x[0, max(0, i - 2) : i + 3] ** 2).sum()) ** 0.75 for i in range(6)]
    np.testing.assert_allclose(nn.local_response_norm().apply({}, {}, x)[0], [want], rtol=1e-6)


@pytest.mark.parametrize(
    "layer", [nn.rms_norm(6), nn.group_norm(6, 3), nn.local_response_norm(), nn.filter_response_norm(6)], ids=repr
)
def test_zeros_give_zeros_with_finite_gradients(layer):
    params, state = layer.init(KEY)
    apply = lambda x: layer.apply(params, state, x)[0]
    x = jnp.zeros((2, 3, 6))
    np.testing.assert_array_equal(apply(x), x)
    assert jnp.isfinite(jax.grad(lambda x: jnp.sum(apply(x) ** 2 + apply(x)))(x)).all()


def test_rms_norm_of_float16_does_not_overflow():
    layer = nn.rms_norm(2)
    y, _ = layer.apply(*layer.init(KEY), jnp.array([[3e4, -3e4]], jnp.float16))
    np.testing.assert_allclose(y, [[1, -1]], rtol=1e-3)


def test_groups_must_divide_and_must_hold_two_values():
    for groups in (0, 4):
        with pytest.raises(ValueError, match="groups must divide dim"):
            nn.group_norm(6, groups)
    for layer, shape in [(nn.instance_norm(6), (2, 1, 1, 6)), (nn.group_norm(6, 6), (2, 6))]:
        with pytest.raises(ShapeError, match="a single value each"):
            layer.apply(*layer.init(KEY), jnp.ones(shape))


def test_response_norm_refuses_impossible_constants():
    with pytest.raises(ValueError, match="size is a number of channels"):
        nn.local_response_norm(0)
    with pytest.raises(ValueError, match="k must be positive"):
        nn.local_response_norm(k=0.0)
