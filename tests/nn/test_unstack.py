"""Repeated parts that stand apart compute the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import TreeError

KEY = jax.random.key(0)
BLOCK = nn.encoder_block(8, 2, causal=True)
GPT = nn.serial(nn.embedding(7, 8), nn.learned_position(6, 8), blocks=nn.repeat(BLOCK, 3), head=nn.dense(8, 7))
TOKENS = jax.random.randint(KEY, (2, 6), 0, 7)


def test_the_same_logits_from_parts_apart():
    params, _ = GPT.init(KEY)
    model, apart = nn.unstack(GPT, params)
    assert tree.count(apart) == tree.count(params)
    np.testing.assert_array_equal(apart["blocks"]["2"]["norm1"]["scale"], params["blocks"]["norm1"]["scale"][2])
    want, _ = jax.jit(GPT.apply)(params, {}, TOKENS)
    np.testing.assert_allclose(jax.jit(model.apply)(apart, {}, TOKENS)[0], want, rtol=1e-5, atol=1e-5)
    decoder = nn.cached(model, 2, 6)
    _, memory = decoder.init(KEY)
    call, said = jax.jit(decoder.apply), []
    for first, last in ((0, 3), (3, 4), (4, 5), (5, 6)):
        y, memory = call(apart, memory, TOKENS[:, first:last])
        said.append(y)
    np.testing.assert_allclose(jnp.concatenate(said, 1), want, rtol=1e-5, atol=1e-5)


def test_further_inputs_reach_every_part_and_a_repeat_inside_a_repeat_stays():
    inner = nn.wire(lambda x, mask, linear: jnp.where(mask, linear(x), x), linear=nn.dense(4, 4))
    masked, mask = nn.repeat(inner, 3), jnp.arange(4)[None] < 2
    nested = nn.repeat(nn.serial(nn.repeat(nn.dense(4, 4), 2), nn.tanh), 2)
    x = jax.random.normal(KEY, (5, 4))
    for layer, inputs in ((masked, (x, mask)), (nested, (x,))):
        params, _ = layer.init(KEY)
        model, apart = nn.unstack(layer, params)
        assert apart.keys() == set(map(str, range(layer.call.bound.arguments["depth"])))
        np.testing.assert_allclose(model.apply(apart, {}, *inputs)[0], layer.apply(params, {}, *inputs)[0], rtol=1e-5)


@pytest.mark.parametrize(
    "layer", [nn.mlp(4, 4), nn.remat(nn.repeat(nn.dense(4, 4), 2)), nn.each(nn.repeat(nn.dense(4, 4), 2), 2)]
)
def test_what_has_no_stack_or_hides_it_stays(layer):
    params, _ = layer.init(KEY)
    assert nn.unstack(layer, params) == (layer, params)


def test_the_memory_of_the_stacked_model_does_not_fit():
    params, _ = GPT.init(KEY)
    model, apart = nn.unstack(GPT, params)
    _, memory = nn.cached(GPT, 2, 6).init(KEY)
    with pytest.raises(TreeError):
        nn.cached(model, 2, 6).apply(apart, memory, TOKENS)
