"""Batch and layer normalisation against torch, and their closed forms."""

from functools import partial

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
MEAN, VAR = np.linspace(-1, 2, 4), np.linspace(0.5, 3, 4)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_torch_in_values_gradients_and_running_moments(agrees, train):
    torch = pytest.importorskip("torch")
    layer = nn.batch_norm(4, momentum=0.9, eps=1e-3)

    def ours(x, scale, bias):
        state = {"mean": jnp.asarray(MEAN, x.dtype), "var": jnp.asarray(VAR, x.dtype)}
        y, after = layer.apply({"scale": scale, "bias": bias}, state, x, train=train)
        return y, after["mean"], after["var"]

    def theirs(x, scale, bias):
        mean, var = torch.tensor(MEAN, dtype=x.dtype), torch.tensor(VAR, dtype=x.dtype)
        y = torch.nn.functional.batch_norm(x.movedim(-1, 1), mean, var, scale, bias, train, 0.1, 1e-3)
        return y.movedim(1, -1), mean, var

    agrees.torch(f"nn.batch_norm, {'training' if train else 'evaluation'}", ours, theirs, X, SCALE, BIAS)


def test_the_mean_over_all_steps_equals_torch_without_momentum(agrees):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.BatchNorm1d(4, momentum=None)
    layer = nn.batch_norm(4, momentum=None)
    params, state = layer.init(KEY)
    for x in X.astype(np.float32):
        theirs(torch.tensor(x.reshape(-1, 4)))
        _, state = layer.apply(params, state, jnp.asarray(x), train=True)
    got = {name: state[name] for name in ("mean", "var")}
    want = {"mean": theirs.running_mean.numpy(), "var": theirs.running_var.numpy()}
    agrees.values("nn.batch_norm, mean over all steps", "torch", got, want)
    assert state["count"] == 6


def test_a_batch_split_over_vmap_is_normalised_as_a_whole(agrees):
    whole, split = nn.batch_norm(4), nn.batch_norm(4, axis_name="part")
    with jax.enable_x64(True):
        params, state = {"scale": jnp.asarray(SCALE), "bias": jnp.asarray(BIAS)}, whole.init(KEY)[1]

        def over_parts(params, state, x):
            run = jax.vmap(partial(split.apply, train=True), (None, None, 0), axis_name="part")
            y, after = run(params, state, x.reshape(3, 2, *x.shape[1:]))
            return y.reshape(x.shape), jax.tree.map(lambda leaf: leaf[1], after)

        def loss(apply, params, x):
            y, after = apply(params, state, x)
            return jnp.sum(y * OUT), (y, after)

        slopes = lambda apply: jax.grad(partial(loss, apply), (0, 1), has_aux=True)(params, jnp.asarray(X))
        got, want = slopes(over_parts), slopes(partial(whole.apply, train=True))
    agrees.values("nn.batch_norm, split by vmap", "the whole batch", got, want)


def test_one_value_on_each_part_is_enough_for_a_split_batch():
    layer = nn.batch_norm(1, axis_name="part")
    run = lambda x: layer.apply(*layer.init(KEY), x, train=True)[0]
    y = jax.vmap(run, axis_name="part")(jnp.array([[[1.0]], [[3.0]]]))
    np.testing.assert_allclose(y.ravel(), [-1, 1], rtol=1e-5)


def test_layer_norm_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    ours = lambda x, scale, bias: nn.layer_norm(4).apply({"scale": scale, "bias": bias}, {}, x)[0]
    theirs = lambda x, scale, bias: torch.nn.functional.layer_norm(x, (4,), scale, bias)
    agrees.torch("nn.layer_norm", ours, theirs, X, SCALE, BIAS)


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
