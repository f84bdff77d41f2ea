"""Root-mean-square, group, instance and response normalisation against torch, and their edges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(2.0, 3.0, size=(5, 3, 4, 6))
OUT = np.random.default_rng(1).normal(size=X.shape)
PARAMS = {"scale": np.linspace(0.5, 2, 6), "bias": np.linspace(-1, 1, 6)}


def ours(layer, names):
    """The output, and the gradients by x and by each parameter."""
    with jax.enable_x64(True):
        params = {name: jnp.asarray(PARAMS[name]) for name in names}
        loss = lambda x, params: jnp.sum(layer.apply(params, {}, x)[0] * OUT)
        x_grad, grads = jax.grad(loss, (0, 1))(jnp.asarray(X), params)
        return layer.apply(params, {}, jnp.asarray(X))[0], x_grad, *(grads[name] for name in names)


def theirs(f, names, channels_first=True):
    import torch

    there, back = ((0, 3, 1, 2), (0, 2, 3, 1)) if channels_first else ((0, 1, 2, 3), (0, 1, 2, 3))
    x = torch.tensor(X.transpose(there), requires_grad=True)
    params = [torch.tensor(PARAMS[name], requires_grad=True) for name in names]
    y = f(x, *params)
    (y * torch.tensor(OUT.transpose(there))).sum().backward()
    return y.detach().numpy().transpose(back), x.grad.numpy().transpose(back), *(p.grad.numpy() for p in params)


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-10, atol=1e-10 * np.abs(b).max())


def test_rms_norm_equals_torch():
    torch = pytest.importorskip("torch")
    f = lambda x, scale: torch.nn.functional.rms_norm(x, (6,), scale, 1e-6)
    assert_equal(ours(nn.rms_norm(6), ["scale"]), theirs(f, ["scale"], channels_first=False))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_equals_torch(groups):
    torch = pytest.importorskip("torch")
    f = lambda x, scale, bias: torch.nn.functional.group_norm(x, groups, scale, bias, 1e-3)
    assert_equal(ours(nn.group_norm(6, groups, eps=1e-3), PARAMS), theirs(f, PARAMS))


@pytest.mark.parametrize("affine", [True, False])
def test_instance_norm_equals_torch(affine):
    torch = pytest.importorskip("torch")
    names = list(PARAMS) if affine else []
    f = lambda x, scale=None, bias=None: torch.nn.functional.instance_norm(x, weight=scale, bias=bias)
    assert_equal(ours(nn.instance_norm(6, affine=affine), names), theirs(f, names))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_local_response_norm_equals_torch_with_alpha_times_size(size):
    torch = pytest.importorskip("torch")
    f = lambda x: torch.nn.functional.local_response_norm(x, size, alpha=0.1 * size, beta=0.6, k=1.5)
    assert_equal(ours(nn.local_response_norm(size, alpha=0.1, beta=0.6, k=1.5), []), theirs(f, []))


def test_local_response_norm_has_the_constants_of_alexnet():
    x = np.array([[3.0, 1.0, 0.0, 2.0, 5.0, 4.0]], np.float32) * 30
    want = [x[0, i] / (2 + 1e-4 * (x[0, max(0, i - 2) : i + 3] ** 2).sum()) ** 0.75 for i in range(6)]
    np.testing.assert_allclose(nn.local_response_norm().apply({}, {}, x)[0], [want], rtol=1e-6)


@pytest.mark.parametrize("layer", [nn.rms_norm(6), nn.group_norm(6, 3), nn.local_response_norm()], ids=repr)
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
