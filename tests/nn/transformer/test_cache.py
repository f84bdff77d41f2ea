"""A cached model says the same as the whole one, call by call, and never forgets in silence."""

from functools import cache, partial
from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError, TreeError
from fdl.compile import compile, on_cpu

KEY = jax.random.key(0)
VOCAB, DIM, HEADS = 7, 8, 4
TOKENS = jax.random.randint(KEY, (2, 6), 0, VOCAB)


def language_model(tokens, embed, position, blocks, norm):
    return norm(blocks(position(embed(tokens)))) @ embed.params["table"].T


def model_of(blocks, position=nn.identity):
    parts = {"embed": nn.embedding(VOCAB, DIM), "norm": nn.layer_norm(DIM)}
    return nn.wire(language_model, position=position, blocks=blocks, **parts)


def causal_block(**options):
    return nn.encoder_block(DIM, HEADS, causal=True, **options)


def empty_of(decoder):
    """The state that init gives, which is all zeros, without drawing parameters."""
    return tree.zeros_like(jax.eval_shape(decoder.init, KEY)[1])


def call_by_call(model, params, x, cuts, *rest):
    """The outputs of the cached model on x[:, 0:a], x[:, a:b], ... side by side, the last state, and its apply."""
    decoder = nn.cached(model, len(x), x.shape[1])
    call, said, state = jax.jit(decoder.apply, donate_argnums=1), [], empty_of(decoder)
    for a, b in pairwise([0, *cuts, x.shape[1]]):
        y, state = call(params, state, x[:, a:b], *rest)
        said.append(y)
    return jnp.concatenate(said, 1), state, call


@cache
def params_of(model):
    return jax.jit(model.init)(KEY)[0]


def whole(model, params, *x):
    return jax.jit(model.apply)(params, {}, *x)[0]


MODELS = {
    "learned alibi softcap": model_of(nn.repeat(causal_block(alibi=True, softcap=2.0), 2), nn.learned_position(9, DIM)),
    "sinusoidal multi-query window": model_of(causal_block(kv_heads=1, window=2), nn.sinusoidal_position(DIM)),
    "rotary grouped normed": model_of(
        nn.repeat(nn.remat(nn.llama_block(DIM, HEADS, kv_heads=2, hidden=5, qk_norm=True)), 2)
    ),
}
SMALL = MODELS["sinusoidal multi-query window"]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_call_by_call_is_the_whole(agrees, request, model):
    params = params_of(model)
    said, state, call = call_by_call(model, params, TOKENS, [3, 4, 5])
    agrees.values(f"nn.cached, {request.node.callspec.id}", "the whole forward", said, whole(model, params, TOKENS))
    assert jnp.isfinite(said).all()
    chex.assert_trees_all_equal_shapes_and_dtypes(state, empty_of(nn.cached(model, 2, 6)))
    beyond, state = call(params, state, TOKENS[:, :1])
    assert jnp.isnan(beyond).all()
    back, _ = call(params, nn.rewind(state, 5), TOKENS[:, 5:])
    np.testing.assert_array_equal(back, said[:, 5:])  # nothing was overwritten


def test_a_cached_model_has_the_parameters_of_the_model_and_an_empty_state():
    decoder = nn.cached(SMALL, 2, 6)
    params, state = jax.jit(decoder.init)(KEY)
    chex.assert_trees_all_equal(params, params_of(SMALL))
    chex.assert_trees_all_equal(state, empty_of(decoder))


def test_greedy_decoding_in_one_scan_is_a_loop_over_whole_forwards():
    params = params_of(SMALL)
    decoder = nn.cached(SMALL, 2, 7)

    def decode(prompt):
        y, state = decoder.apply(params, empty_of(decoder), prompt)
        first = jnp.argmax(y[:, -1:], -1)

        def step(carry, _):
            state, token = carry
            y, state = decoder.apply(params, state, token)
            return (state, jnp.argmax(y, -1)), token[:, 0]

        return jax.lax.scan(step, (state, first), length=5)[1].T

    full = jax.jit(lambda tokens: SMALL.apply(params, {}, tokens)[0])
    tokens = jnp.pad(TOKENS[:, :2], ((0, 0), (0, 5)))
    for time in range(2, 7):
        tokens = tokens.at[:, time].set(jnp.argmax(full(tokens)[:, time - 1], -1))
    np.testing.assert_array_equal(jax.jit(decode)(TOKENS[:, :2]), tokens[:, 2:])


def test_decoding_maps_over_examples():
    params = params_of(SMALL)
    decoder = nn.cached(SMALL, 1, 6)

    @jax.jit
    @jax.vmap
    def twice(tokens):
        state = empty_of(decoder)
        first, state = decoder.apply(params, state, tokens[None, :4])
        return jnp.concatenate([first, decoder.apply(params, state, tokens[None, 4:])[0]], 1)[0]

    np.testing.assert_allclose(twice(TOKENS), whole(SMALL, params, TOKENS), atol=1e-5)


def test_prompts_of_unequal_length_are_rewound_to_their_ends(agrees):
    model = MODELS["rotary grouped normed"]
    params = params_of(model)
    decoder = nn.cached(model, 2, 6)
    call = jax.jit(decoder.apply, donate_argnums=1)
    lengths = jnp.array([2, 4])
    padded = jnp.where(jnp.arange(4)[None] < lengths[:, None], TOKENS[:, :4], 0)
    prompt, cache = call(params, empty_of(decoder), padded)
    following = jnp.stack([TOKENS[0, 2:4], TOKENS[1, 4:6]])
    y, _ = call(params, nn.rewind(cache, lengths), following)
    full = whole(model, params, TOKENS)
    want = jnp.stack([full[0, 2:4], full[1, 4:6]])
    agrees.values("nn.rewind, prompts of unequal length", "the whole forward", y, want)
    last = prompt[jnp.arange(2), lengths - 1]
    np.testing.assert_allclose(last, jnp.stack([full[0, 1], full[1, 3]]), atol=1e-5)


@pytest.mark.skipif(not on_cpu(), reason="a promise for CPUs")
@pytest.mark.parametrize("batch", [1, 3])
def test_no_token_copies_what_is_kept(batch):
    decoder = nn.cached(nn.attention(8, 2, causal=True), batch, 512)
    params, state = decoder.init(KEY)

    def several(params, state, x):
        step = lambda carry, _: (decoder.apply(params, carry[1], carry[0]), None)
        return jax.lax.scan(step, (x, state), length=5)[0]

    program = compile(several, donate_argnums=1).lower(params, state, jnp.ones((batch, 1, 8))).compile()
    kept = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert program.memory_analysis().temp_size_in_bytes < kept / 2  # logits of two heads, where keys have four numbers


def test_a_decoder_sees_its_memory_at_every_call():
    block = nn.decoder_block(DIM, 2, memory_dim=3, rotary=10.0)
    params = params_of(block)
    x, memory = jax.random.normal(KEY, (2, 4, DIM)), jax.random.normal(KEY, (2, 5, 3))
    said, state, _ = call_by_call(block, params, x, [3], memory)
    assert state.keys() == {"attend"}
    np.testing.assert_allclose(said, whole(block, params, x, memory), atol=1e-5)


def test_attention_whose_parts_were_replaced_is_cached_too():
    changed = nn.rewire(nn.attention(4, 2, causal=True), "query", lambda part: nn.serial(part, nn.tanh))
    params = params_of(changed)
    x = jax.random.normal(KEY, (1, 3, 4))
    said, _, _ = call_by_call(changed, params, x, [2])
    np.testing.assert_allclose(said, whole(changed, params, x), atol=1e-6)


def test_a_mask_over_all_keys_hides_padding_on_the_left():
    layer = nn.attention(4, 2, causal=True, rotary=10.0)
    params = params_of(layer)
    x = jax.random.normal(KEY, (1, 5, 4))
    said, _, _ = call_by_call(layer, params, x, [4], (jnp.arange(5) >= 2)[None, None, None])
    np.testing.assert_allclose(said[:, 2:], whole(layer, params, x[:, 2:]), atol=1e-5)


def test_fused_attention_is_cached_without_its_kernels():
    layer = nn.attention(4, 2, causal=True)
    params = params_of(layer)
    x = jax.random.normal(KEY, (1, 5, 4))
    said, _, _ = call_by_call(layer.replace(implementation="fused"), params, x, [4])
    np.testing.assert_allclose(said, whole(layer, params, x), atol=1e-6)


def test_a_cache_of_sixteen_bits_is_half_as_large_and_nearly_the_same():
    params = params_of(SMALL)
    decoder = nn.cached(SMALL, 2, 6)
    empty = tree.cast(empty_of(decoder), jnp.bfloat16)
    y, after = jax.jit(decoder.apply)(params, empty, TOKENS)
    chex.assert_trees_all_equal_shapes_and_dtypes(after, empty)
    np.testing.assert_allclose(y, whole(SMALL, params, TOKENS), atol=0.1)


def test_what_does_not_fit_says_so():
    params = params_of(SMALL)
    decoder = nn.cached(SMALL, 2, 5)
    empty = empty_of(decoder)
    with pytest.raises(ShapeError, match="the cache holds 5 positions, 0 of them taken; 6 more do not fit"):
        jax.eval_shape(partial(decoder.apply, params), empty, TOKENS)
    _, state = jax.jit(decoder.apply)(params, empty, TOKENS[:, :4])
    with pytest.raises(ShapeError, match="holds 5 positions, 4 of them taken; 2 more do not fit") as error:
        decoder.apply(params, state, TOKENS[:, 4:])
    assert error.value.__notes__[0].startswith("in position: sinusoidal_position(dim=8, cache=(2, 5))")
    with pytest.raises(ShapeError, match=r"must have shape \(2, \*, \.\.\.\).*made for a batch of 2"):
        decoder.apply(params, empty, TOKENS[:1])


def test_a_traced_function_may_hold_the_state():
    params = params_of(SMALL)
    decoder = nn.cached(SMALL, 2, 5)
    _, state = jax.jit(decoder.apply)(params, empty_of(decoder), TOKENS[:, :4])
    following = lambda tokens: decoder.apply(params, state, tokens)[0]
    np.testing.assert_allclose(
        jax.jit(following)(TOKENS[:, 4:5]), whole(SMALL, params, TOKENS[:, :5])[:, 4:], atol=1e-5
    )
    with pytest.raises(ShapeError, match="holds 5 positions, 4 of them taken; 2 more do not fit"):
        jax.jit(following)(TOKENS[:, 4:])


def test_what_cannot_be_cached_says_so():
    with pytest.raises(ValueError, match="attention that is not causal sees the future"):
        nn.cached(nn.serial(nn.attention(4, 2)), 1, 5)
    with pytest.raises(TreeError, match="matches nothing"):
        nn.cached(nn.serial(nn.dense(4, 2)), 1, 5)
    with pytest.raises(ValueError, match="at least one row and one position, got 0 and 5"):
        nn.cached(SMALL, 0, 5)
    assert nn.cached(SMALL, 1, 5) == nn.cached(SMALL, 1, 4).replace(length=5)
