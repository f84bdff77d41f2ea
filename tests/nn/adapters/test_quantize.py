"""Integers for weights: torch's rounding, the error bound, the bytes, gradients past them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, optim, train, tree
from fdl.checks import ShapeError, TreeError

KEY = jax.random.key(0)
MODEL = nn.serial(nn.conv(3, 6, 3), nn.relu, nn.flatten, nn.dense(96, 5), nn.repeat(nn.dense(5, 5), 2))
X = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))


@pytest.mark.parametrize("bits", [8, 4])
def test_levels_are_those_of_torch(bits, agrees):
    torch = pytest.importorskip("torch")
    kernel = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    top = 2 ** (bits - 1) - 1
    scale = np.abs(kernel).max(0) / np.float32(top)
    want = torch.fake_quantize_per_channel_affine(
        torch.tensor(kernel), torch.tensor(scale), torch.zeros(5, dtype=torch.int32), 1, -top, top
    ).numpy()
    model = nn.dense(7, 5, use_bias=False)
    params, state = nn.quantize_params(model, {"kernel": jnp.asarray(kernel)}, {}, bits=bits)
    assert params == {}
    agrees.values(f"nn.quantize_params, {bits} bits", "torch", nn.thaw_params(model, params, state)[0]["kernel"], want)
    x = np.random.default_rng(1).normal(size=(3, 7)).astype(np.float32)
    y, after = nn.quantized(model, bits=bits).apply(params, state, x)
    agrees.values(f"nn.quantized, {bits} bits", "torch", y, x @ want)
    chex.assert_trees_all_equal(after, state)


@pytest.mark.parametrize(("bits", "group"), [(8, None), (8, 1), (4, 3), (4, None)])
def test_a_weight_is_off_by_half_a_scale_at_most(bits, group):
    kernel = jax.random.normal(KEY, (9, 50))
    model = nn.dense(9, 50, use_bias=False)
    _, state = nn.quantize_params(model, {"kernel": kernel}, {}, bits=bits, group=group)
    scale = np.repeat(state["kernel"]["scale"], group or 9, axis=0)
    error = np.abs(nn.thaw_params(model, {}, state)[0]["kernel"] - kernel)
    assert (error <= scale * (0.5 + 1e-4)).all()  # and the rounding of float32
    assert np.sqrt((error**2).mean()) < 0.3 * np.sqrt((scale**2).mean())  # evenly spread it would be 1 / sqrt(12)
    assert scale.shape == kernel.shape


def test_bytes_fall_to_a_quarter_and_an_eighth_and_the_output_stays_close():
    params, state = MODEL.init(KEY)
    want, _ = jax.jit(MODEL.apply)(params, state, X)
    kernels = tree.nbytes(tree.split(params, "**/kernel")[0])
    # A column of normal weights reaches about 2.5 deviations: an error of 2.5 / top / sqrt(12) in each of four layers.
    for bits, most in ((8, 0.024), (4, 0.4)):
        model = nn.quantized(MODEL, bits=bits)
        rest, integers = nn.quantize_params(MODEL, params, state, bits=bits)
        chex.assert_trees_all_equal_shapes((rest, integers), jax.eval_shape(model.init, KEY))
        held = {path: leaf for path, leaf in tree.flatten(integers).items() if "int" in path}
        assert abs(tree.nbytes(held) / kernels - bits / 32) < 0.01  # a row more where their number is odd
        assert jnp.linalg.norm(jax.jit(model.apply)(rest, integers, X)[0] - want) < most * jnp.linalg.norm(want)


def test_kernels_of_repeat_have_scales_of_their_own():
    _, state = nn.quantized(MODEL).init(KEY)
    assert state["repeat_0"]["kernel"]["scale"].shape == (2, 1, 5)
    assert state["conv_0"]["kernel"]["scale"].shape == (1, 6)


def test_zeros_stay_zeros():
    params, state = nn.quantize_params(nn.dense(3, 2), {"kernel": jnp.zeros((3, 2)), "bias": jnp.ones(2)}, {}, bits=4)
    np.testing.assert_array_equal(nn.thaw_params(nn.dense(3, 2), params, state)[0]["kernel"], np.zeros((3, 2)))


def test_adapters_are_trained_over_integers():
    base = nn.serial(nn.dense(6, 5), nn.tanh, nn.dense(5, 2))
    adapted = nn.lora(base, "**/kernel", rank=2)
    model = nn.freeze(nn.quantized(adapted, "base/**/kernel", bits=4), "base/**")
    params, state = model.init(KEY)
    x = jax.random.normal(KEY, (3, 6))
    grads = jax.jit(jax.grad(lambda params: model.apply(params, state, x)[0].sum()))(params)
    assert set(grads) == {"adapter"}
    whole, _ = nn.thaw_params(adapted, *nn.thaw_params(nn.quantized(adapted, "base/**/kernel", bits=4), params, state))
    want = jax.grad(lambda params: adapted.apply(params, {}, x)[0].sum())(whole)["adapter"]
    chex.assert_trees_all_close(grads["adapter"], want, rtol=1e-5)


def test_a_checkpoint_holds_the_integers(tmp_path):
    model, optimizer = nn.quantized(nn.dense(5, 3), bits=4), optim.adam()
    state = train.init_state(model.init, optimizer)
    train.checkpoint.save(tmp_path, state)
    again, _ = train.checkpoint.restore(tmp_path, jax.eval_shape(lambda: train.init_state(model.init, optimizer)))
    assert again.state["kernel"]["int4"].dtype == jnp.int8
    assert tree.digest(again) == tree.digest(state)


def test_what_cannot_be_done_is_refused():
    with pytest.raises(ValueError, match="bits must be 8 or 4, got 2"):
        nn.quantized(MODEL, bits=2)
    with pytest.raises(ShapeError, match="group must divide the 27 rows of 'conv_0/kernel', got 4"):
        nn.quantized(MODEL, group=4)
    with pytest.raises(TreeError, match="matches nothing"):
        nn.quantized(MODEL, "**/table")
