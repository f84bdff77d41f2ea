"""Reparametrised kernels against torch and singular values; and the mechanism behind them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import TreeError

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, KERNEL, BIAS = RNG.normal(size=(2, 4, 5, 3)), RNG.normal(size=(2, 3, 3, 5)), RNG.normal(size=5)
CONV = nn.conv(3, 5, (2, 3), padding="valid")


def convolved(x, weight, bias):
    """The convolution of torch on channels last, with a weight (out, in, *window)."""
    import torch

    return torch.nn.functional.conv2d(x.movedim(-1, 1), weight, bias).movedim(1, -1)


def test_weight_norm_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.weight_norm(CONV)
    ours = lambda x, kernel, scale, bias: layer.apply({"kernel": kernel, "kernel_scale": scale, "bias": bias}, {}, x)[0]

    def theirs(x, kernel, scale, bias):
        weight = torch._weight_norm(kernel.permute(3, 2, 0, 1), scale[:, None, None, None], 0)
        return convolved(x, weight, bias)

    agrees.torch("nn.weight_norm", ours, theirs, X, KERNEL, RNG.uniform(0.5, 2, size=5), BIAS)


def test_weight_norm_starts_as_the_part_itself():
    layer = nn.serial(nn.weight_norm(nn.dense(3, 4)), nn.weight_norm(nn.serial(nn.dense(4, 4), nn.dense(4, 2))))
    params, state = layer.init(KEY)
    assert {name: leaf.shape for name, leaf in params["weight_norm_0"].items()} == {
        "kernel": (3, 4),
        "kernel_scale": (4,),
        "bias": (4,),
    }
    x = jax.random.normal(KEY, (5, 3))
    plain = nn.serial(nn.dense(3, 4), nn.serial(nn.dense(4, 4), nn.dense(4, 2)))
    first, second = params.values()
    bare = {"dense_0": {name: first[name] for name in ("kernel", "bias")}}
    bare["serial_0"] = {name: {k: part[k] for k in ("kernel", "bias")} for name, part in second.items()}
    np.testing.assert_allclose(layer.apply(params, state, x)[0], plain.apply(bare, {}, x)[0], rtol=1e-5, atol=1e-6)


def test_weight_standardisation_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    layer = nn.weight_standardisation(CONV, eps=1e-4)
    ours = lambda x, kernel, bias: layer.apply({"kernel": kernel, "bias": bias}, {}, x)[0]

    def theirs(x, kernel, bias):
        rows = kernel.permute(3, 2, 0, 1).reshape(1, 5, -1)
        weight = torch.nn.functional.batch_norm(rows, None, None, training=True, eps=1e-4).reshape(5, 3, 2, 3)
        return convolved(x, weight, bias)

    agrees.torch("nn.weight_standardisation", ours, theirs, X, KERNEL, BIAS)


@pytest.mark.parametrize("train", [True, False])
def test_spectral_norm_equals_torch_from_the_same_vectors(agrees, train):
    torch = pytest.importorskip("torch")
    from torch.nn.utils.parametrizations import spectral_norm

    layer = nn.spectral_norm(nn.dense(5, 3, use_bias=False), iterations=2)
    u, v = (vector / np.linalg.norm(vector) for vector in (RNG.normal(size=3), RNG.normal(size=5)))

    def ours(x, kernel):
        state = {"kernel_out": jnp.asarray(u, x.dtype), "kernel_in": jnp.asarray(v, x.dtype)}
        y, after = layer.apply({"kernel": kernel}, state, x, train=train)
        return y, after["kernel_out"], after["kernel_in"]

    def theirs(x, kernel):
        module = torch.nn.Linear(5, 3, bias=False, dtype=x.dtype)
        module.weight.data.copy_(kernel.T)
        module = spectral_norm(module, n_power_iterations=2).train(train)
        norm = module.parametrizations.weight[0]
        norm._u.copy_(torch.tensor(u, dtype=x.dtype))
        norm._v.copy_(torch.tensor(v, dtype=x.dtype))
        return x @ norm(kernel.T).T, norm._u.clone(), norm._v.clone()

    subject = f"nn.spectral_norm, {'training' if train else 'evaluation'}"
    agrees.torch(subject, ours, theirs, RNG.normal(size=(4, 5)), RNG.normal(size=(5, 3)))


def test_spectral_norm_finds_the_largest_singular_value(agrees):
    layer = nn.spectral_norm(nn.conv(3, 5, 2, use_bias=False), iterations=30)
    with jax.enable_x64(True):
        params, state = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), layer.init(KEY))
        x = jnp.asarray(X)
        for _ in range(4):
            y, state = layer.apply(params, state, x, train=True)
        largest = np.linalg.svd(np.asarray(params["kernel"]).reshape(12, 5), compute_uv=False)[0]
        want, _ = nn.conv(3, 5, 2, use_bias=False).apply({"kernel": params["kernel"] / largest}, {}, x)
    agrees.values("nn.spectral_norm, many iterations", "numpy", y, want)


def test_spectral_norm_of_a_kernel_of_zeros_is_zero_and_recovers():
    layer = nn.spectral_norm(nn.dense(5, 3, use_bias=False))
    params, state = layer.init(KEY)
    zero = jax.tree.map(jnp.zeros_like, params)
    x = jnp.ones((2, 5))
    y, state = layer.apply(zero, state, x, train=True)
    np.testing.assert_array_equal(y, 0)
    for _ in range(30):
        y, state = layer.apply(params, state, x, train=True)
    np.testing.assert_allclose(y, x @ (params["kernel"] / np.linalg.norm(params["kernel"], 2)), rtol=1e-5)


def test_spectral_norm_moves_in_training_alone():
    layer = nn.spectral_norm(nn.dense(5, 3))
    params, state = layer.init(KEY)
    x = jnp.ones((2, 5))
    _, after = layer.apply(params, state, x)
    np.testing.assert_array_equal(after["kernel_in"], state["kernel_in"])
    _, after = layer.apply(params, state, x, train=True)
    assert not np.array_equal(after["kernel_in"], state["kernel_in"])
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        nn.spectral_norm(nn.dense(5, 3), iterations=0)


def halved(kernel, params, state, train):
    return kernel / 2, {}


def with_factor(key, kernel):
    return {"factor": 3 * jnp.ones(())}, {"calls": jnp.zeros(())}


def times_factor(kernel, params, state, train):
    return kernel * params["factor"], {"calls": state["calls"] + 1}


def test_reparametrize_computes_what_the_pattern_means(agrees):
    net = nn.serial(nn.dense(3, 4), nn.batch_norm(4), nn.dense(4, 2))
    params, state = net.init(KEY)
    x = jax.random.normal(KEY, (5, 3))
    half = {**params, "dense_0": {**params["dense_0"], "kernel": params["dense_0"]["kernel"] / 2}}
    got = nn.reparametrize(net, "dense_0/kernel", halved).apply(params, state, x, train=True)
    agrees.values("nn.reparametrize", "the part with other kernels", got, net.apply(half, state, x, train=True))


def test_what_is_trained_and_carried_stands_beside_the_value():
    layer = nn.reparametrize(nn.dense(2, 1, use_bias=False), "kernel", times_factor, with_factor)
    params, state = layer.init(KEY)
    assert params.keys() == {"kernel", "kernel_factor"}
    y, after = layer.apply(params, state, jnp.ones((1, 2)))
    np.testing.assert_allclose(y, 3 * params["kernel"].sum(0)[None], rtol=1e-6)
    assert after == {"kernel_calls": 1}
    assert not layer.is_pure
    assert nn.weight_norm(nn.dense(2, 1)).is_pure


def test_parts_inside_can_still_be_replaced():
    layer = nn.weight_norm(nn.serial(nn.dense(3, 4), nn.dense(4, 2)))
    wider = nn.rewire(layer, "dense_1", lambda part: part.replace(out_dim=7))
    params, state = wider.init(KEY)
    assert params["dense_1"]["kernel_scale"].shape == (7,)
    assert wider.apply(params, state, jnp.ones((1, 3)))[0].shape == (1, 7)


def test_a_pattern_that_means_no_kernel_is_an_error():
    with pytest.raises(TreeError, match="'\\*\\*/table' matches nothing; the paths are 'bias', 'kernel'"):
        nn.weight_norm(nn.dense(3, 4), "**/table")
    with pytest.raises(TreeError, match=r"a kernel must have shape \(\.\.\., in, out\), got \(4,\)"):
        nn.spectral_norm(nn.dense(3, 4), "bias")
