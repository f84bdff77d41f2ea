"""LoRA and DoRA: torch by hand, the start, the stacks of repeat, the merged kernels."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError, TreeError
from fdl.nn.adapters.leaves import matrix_shape

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, KERNEL, DOWN, UP = (RNG.normal(size=shape) for shape in ((4, 5), (5, 3), (5, 2), (2, 3)))
MAGNITUDE = RNG.uniform(0.5, 1.5, 3)


def block(dim):
    return nn.serial(nn.dense(dim, 7), nn.tanh, out=nn.dense(7, dim))


def moved(params, amount=0.1):
    """Every leaf a little elsewhere, so that no zero hides a term."""
    return jax.tree.map(
        lambda leaf: leaf + amount * jnp.cos(jnp.arange(leaf.size, dtype=float)).reshape(leaf.shape), params
    )


def test_lora_adds_the_product_of_its_factors(agrees):
    torch = pytest.importorskip("torch")
    model = nn.lora(nn.dense(5, 3, use_bias=False), "kernel", rank=2, scale=0.5)

    def ours(x, kernel, down, up):
        params = {"base": {"kernel": kernel}, "adapter": {"kernel": {"down": down, "up": up}}}
        return model.apply(params, {}, x)[0]

    def theirs(x, kernel, down, up):
        linear = torch.nn.functional.linear
        return linear(x, kernel.T) + 0.5 * linear(linear(x, down.T), up.T)

    agrees.torch("nn.lora", ours, theirs, X, KERNEL, DOWN, UP)


def test_dora_is_a_length_times_the_updated_direction(agrees):
    torch = pytest.importorskip("torch")
    model = nn.dora(nn.dense(5, 3, use_bias=False), "kernel", rank=2, scale=0.5)

    def ours(x, kernel, down, up, magnitude):
        leaves = {"down": down, "up": up, "magnitude": magnitude}
        return model.apply({"base": {"kernel": kernel}, "adapter": {"kernel": leaves}}, {}, x)[0]

    def theirs(x, kernel, down, up, magnitude):
        updated = kernel + 0.5 * down @ up
        length = magnitude * torch.linalg.vector_norm(kernel, dim=0)
        return x @ (length * updated / torch.linalg.vector_norm(updated, dim=0))

    agrees.torch("nn.dora", ours, theirs, X, KERNEL, DOWN, UP, MAGNITUDE)


@pytest.mark.parametrize("adapt", [nn.lora, nn.dora])
def test_it_starts_equal_to_the_model_whatever_the_base(adapt):
    model = nn.serial(nn.conv(2, 3, 3), nn.flatten, nn.dense(27, 4))
    adapted = adapt(model, "**/kernel", rank=2)
    params, state = adapted.init(KEY)
    params["base"] = moved(params["base"], 1.0)
    x = jax.random.normal(KEY, (2, 3, 3, 2))
    chex.assert_trees_all_close(adapted.apply(params, state, x), model.apply(params["base"], {}, x), rtol=1e-5)
    assert params["adapter"]["conv_0"]["kernel"]["down"].shape == (18, 2)


@pytest.mark.parametrize("adapt", [nn.lora, nn.dora])
def test_kernels_of_repeat_are_adapted_one_by_one(adapt):
    adapted = adapt(nn.repeat(block(4), 3), "**/kernel", rank=2)
    params, _ = jax.jit(adapted.init)(KEY)
    factors = params["adapter"]["dense_0"]["kernel"]
    assert factors["down"].shape == (3, 4, 2)
    assert factors["up"].shape == (3, 2, 7)
    assert (factors["down"][0] != factors["down"][1]).any()
    params = moved(params)
    own = adapt(block(4), "**/kernel", rank=2)
    x = want = jax.random.normal(KEY, (5, 4))
    one = jax.jit(own.apply)
    for i in range(3):
        want, _ = one(jax.tree.map(lambda leaf, i=i: leaf[i], params), {}, want)
    chex.assert_trees_all_close(jax.jit(adapted.apply)(params, {}, x)[0], want, rtol=1e-5, atol=1e-6)


def test_the_part_that_owns_a_leaf_says_which_axes_are_stacked():
    conv = nn.conv(2, 3, (3, 5))
    assert matrix_shape(conv, "kernel") == (30, 3)
    assert matrix_shape(nn.repeat(nn.remat(nn.dense(4, 4)), 3), "kernel") == (3, 4, 4)
    stacked = nn.serial(blocks=nn.repeat(nn.repeat(nn.residual(nn.conv(3, 3, 3)), 2), 5))
    assert matrix_shape(stacked, "blocks/conv_0/kernel") == (5, 2, 27, 3)


def test_merged_parameters_are_those_of_the_model(agrees):
    model = nn.serial(nn.dense(4, 5), nn.batch_norm(5), nn.repeat(block(5), 2))
    adapted = nn.lora(model, ["dense_0/kernel", "repeat_0/**/kernel"], rank=2, scale=3.0)
    params, state = jax.jit(adapted.init)(KEY)
    params = moved(params)
    x = jax.random.normal(KEY, (3, 4))
    merged = jax.jit(partial(nn.merged, adapted))(params, state)
    chex.assert_trees_all_equal_shapes(merged, jax.eval_shape(model.init, KEY))
    got, want = jax.jit(model.apply)(*merged, x)[0], jax.jit(adapted.apply)(params, state, x)[0]
    agrees.values("nn.merged", "the adapted model", got, want)


def test_parts_below_base_can_be_replaced():
    adapted = nn.lora(nn.serial(nn.dense(4, 4), nn.relu), "**/kernel", rank=1)
    smooth = nn.rewire(adapted, "base/relu_0", lambda part: nn.function(nn.tanh))
    params, state = smooth.init(KEY)
    x = jax.random.normal(KEY, (3, 4))
    want = nn.serial(nn.dense(4, 4), nn.tanh).apply(params["base"], {}, x)[0]
    chex.assert_trees_all_close(smooth.apply(params, state, x)[0], want, rtol=1e-6)


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(TreeError, match="matches nothing; the paths are"):
        nn.lora(block(4), "attend/kernel", rank=1)
    with pytest.raises(ShapeError, match="'bias' must have two axes or more of its own"):
        nn.lora(nn.repeat(nn.dense(4, 4), 3), "bias", rank=1)
    with pytest.raises(ValueError, match="rank must be at least 1"):
        nn.dora(block(4), "**/kernel", rank=0)
    with pytest.raises(TreeError, match="no part 'adapter'"):
        nn.merged(block(4), {}, {})
