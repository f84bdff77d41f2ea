"""Batch and layer normalisation against torch, and their closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(2.0, 3.0, size=(6, 3, 5, 4))
OUT = np.random.default_rng(1).normal(size=X.shape)
SCALE, BIAS = np.linspace(0.5, 2, 4), np.linspace(-1, 1, 4)


def ours(layer, state, train):
    with jax.enable_x64(True):
        params = {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}

        def loss(params, x):
            y, after = layer.apply(params, state, x, train=train)
            return jnp.sum(y * OUT), (y, after)

        grads, (y, after) = jax.grad(loss, (0, 1), has_aux=True)(params, jnp.asarray(X))
        return y, after, *grads


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_torch(train):
    torch = pytest.importorskip("torch")
    mean, var = np.linspace(-1, 2, 4), np.linspace(0.5, 3, 4)
    with jax.enable_x64(True):
        state = {"mean": jnp.asarray(mean), "var": jnp.asarray(var)}
        y, after, grads, x_grad = ours(nn.batch_norm(4, momentum=0.9, eps=1e-3), state, train)
    theirs = torch.nn.BatchNorm2d(4, momentum=0.1, eps=1e-3, dtype=torch.float64).train(train)
    for name, value in {"weight": SCALE, "bias": BIAS, "running_mean": mean, "running_var": var}.items():
        getattr(theirs, name).data.copy_(torch.tensor(value))
    x = torch.tensor(X.transpose(0, 3, 1, 2), requires_grad=True)
    expected = theirs(x)
    (expected * torch.tensor(OUT.transpose(0, 3, 1, 2))).sum().backward()
    back = lambda t: t.detach().numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(y, back(expected), rtol=1e-10)
    np.testing.assert_allclose(x_grad, back(x.grad), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(grads["scale"], theirs.weight.grad, rtol=1e-10)
    np.testing.assert_allclose(grads["bias"], theirs.bias.grad, rtol=1e-10)
    np.testing.assert_allclose(after["mean"], theirs.running_mean, rtol=1e-12)
    np.testing.assert_allclose(after["var"], theirs.running_var, rtol=1e-12)


def test_layer_norm_equals_torch():
    torch = pytest.importorskip("torch")
    y, after, grads, x_grad = ours(nn.layer_norm(4), {}, True)
    assert after == {}
    x, scale, bias = (torch.tensor(a, requires_grad=True) for a in (X, SCALE, BIAS))
    expected = torch.nn.functional.layer_norm(x, (4,), scale, bias)
    (expected * torch.tensor(OUT)).sum().backward()
    np.testing.assert_allclose(y, expected.detach(), rtol=1e-10)
    np.testing.assert_allclose(x_grad, x.grad, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(grads["scale"], scale.grad, rtol=1e-10)
    np.testing.assert_allclose(grads["bias"], bias.grad, rtol=1e-10)


def test_the_biased_running_variance_is_a_documented_choice():
    x = jnp.array([[0.0], [2.0]])
    for unbiased, expected in [(True, 2.0), (False, 1.0)]:
        layer = nn.batch_norm(1, momentum=0.0, unbiased=unbiased)
        _, after = layer.apply(*layer.init(KEY), x, train=True)
        np.testing.assert_allclose(after["var"], [expected])


def test_batch_norm_does_not_see_the_scale_of_the_weights_before_it():
    """lecture.md row 20: BN(aWx) = BN(Wx), and the gradient by aW is 1/a of that by W."""
    layer = nn.batch_norm(3, eps=0.0)
    params, state = layer.init(KEY)
    with jax.enable_x64(True):
        x, w = jnp.asarray(X.reshape(-1, 4)), jnp.asarray(np.random.default_rng(2).normal(size=(4, 3)))
        out = jnp.asarray(OUT.reshape(-1, 4)[:, :3])
        params, state = jax.tree.map(lambda a: a.astype(jnp.float64), (params, state))
        loss = lambda w: jnp.sum(layer.apply(params, state, x @ w, train=True)[0] * out)
        np.testing.assert_allclose(loss(w), loss(7 * w), rtol=1e-9)
        np.testing.assert_allclose(jax.grad(loss)(7 * w), jax.grad(loss)(w) / 7, rtol=1e-7)


def test_layer_norm_does_not_know_its_batch():
    layer = nn.layer_norm(4)
    params, state = layer.init(KEY)
    x = jnp.asarray(X.reshape(-1, 4), jnp.float32)
    apply = jax.jit(lambda x: layer.apply(params, state, x)[0])
    np.testing.assert_array_equal(apply(x)[:1], apply(x[:1]))


def test_a_constant_channel_is_normalised_to_zero_with_finite_gradients():
    layer = nn.batch_norm(2)
    params, state = layer.init(KEY)
    loss = lambda x: jnp.sum(layer.apply(params, state, x, train=True)[0] ** 2)
    x = jnp.full((4, 2), 3.0)
    assert loss(x) == 0
    assert jnp.isfinite(jax.grad(loss)(x)).all()


def test_one_value_a_channel_cannot_be_normalised():
    layer = nn.batch_norm(3)
    with pytest.raises(ShapeError, match=r"two or more values a channel in training, got \(1, 3\)"):
        layer.apply(*layer.init(KEY), jnp.ones((1, 3)), train=True)
