"""Attention in chunks equals plain attention with every option, in memory linear in the length."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdl.nn import alibi_slopes, dot_product_attention

TIME, KEYS, HEADS = 11, 13, 4


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def coin(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).random(shape) < 0.7)


QUERY, KEY, VALUE = normal(0, 2, TIME, HEADS, 3), normal(1, 2, KEYS, 2, 3), normal(2, 2, KEYS, 2, 5)
SEGMENTS = jnp.arange(2 * TIME).reshape(2, TIME) // 5 % 4, jnp.arange(2 * KEYS).reshape(2, KEYS) // 6 % 4
OPTIONS = {
    "where": {"where": coin(3, 2, 1, TIME, KEYS)},
    "bias": {"bias": normal(4, 1, HEADS, TIME, KEYS)},
    "causal": {"causal": True},
    "window": {"window": 3},
    "segments": {"segments": SEGMENTS},
    "slopes": {"slopes": alibi_slopes(HEADS)},
    "softcap": {"softcap": 1.5},
    "offset": {"offset": jnp.array(2)},
}
EXTRA = [
    {"offset": jnp.array([2, -3]), "window": 3, "causal": True},
    {"where": coin(5, 2, HEADS, 1, KEYS), "bias": normal(6, 2, 1, 1, KEYS), "window": 2},
    {"where": coin(7, 1, 1, TIME, 1), "bias": normal(8, 1, 1, TIME, KEYS), "scale": 0.3, "window": 4},
    {name: x for part in OPTIONS.values() for name, x in part.items()},
]
TABLE = [{}, *OPTIONS.values(), *EXTRA]


def values_and_gradients(options, **way):
    """The result and its gradient by every floating array among query, key, value and the options."""
    free = {name: x for name, x in options.items() if name in ("bias", "slopes")}
    rest = {name: x for name, x in options.items() if name not in free}

    @jax.jit
    def both(q, k, v, free):
        def loss(q, k, v, free):
            y = dot_product_attention(q, k, v, **free, **rest, **way)
            return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)), y

        return jax.grad(loss, (0, 1, 2, 3), has_aux=True)(q, k, v, free)

    return both(QUERY, KEY, VALUE, free)


@pytest.mark.parametrize("options", TABLE, ids=["-".join(options) or "bare" for options in TABLE])
def test_chunked_is_plain_with_its_gradients(agrees, options):
    want = values_and_gradients(options, implementation="plain")
    got = values_and_gradients(options, implementation="chunked", chunk=4)
    agrees.values("nn.dot_product_attention, chunked, value and gradients", "plain", got, want, most=2e-5)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    time=st.integers(1, 9),
    keys=st.integers(1, 9),
    chunk=st.integers(1, 10),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 5),
    offset=st.integers(-2, 6),
    seed=st.integers(0, 99),
)
def test_chunked_is_plain_for_any_shape(time, keys, chunk, causal, window, offset, seed):
    q, k, v = normal(seed, 1, time, 2, 2), normal(seed + 1, 1, keys, 1, 2), normal(seed + 2, 1, keys, 1, 3)
    options = {"causal": causal, "window": window, "offset": offset, "where": coin(seed, 1, 1, time, keys)}
    ways = {"implementation": "plain"}, {"implementation": "chunked", "chunk": chunk}
    want, got = jax.jit(lambda *x: [dot_product_attention(*x, **options, **way) for way in ways])(q, k, v)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_a_window_reads_only_the_keys_that_it_reaches():
    """Keys out of reach may even be NaN: one step of decoding costs as much as the window, not as the cache."""
    spoilt = KEY.at[:, :8].set(jnp.nan)
    options = {"causal": True, "window": 3, "offset": 11}
    got = dot_product_attention(QUERY[:, :1], spoilt, VALUE, **options)
    want = dot_product_attention(QUERY[:, :1], KEY[:, 9:12], VALUE[:, 9:12])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_forward_mode_and_second_derivatives_are_those_of_plain(agrees):
    tangents = normal(9, *QUERY.shape), normal(10, *KEY.shape), normal(11, *VALUE.shape)

    def derivatives(**way):
        attend = lambda q, k, v: dot_product_attention(q, k, v, causal=True, **way)
        first = lambda *x: jax.jvp(attend, x, tangents)[1]
        return jax.jit(lambda *x: (first(*x), jax.grad(lambda *x: jnp.sum(first(*x) ** 2))(*x)))(QUERY, KEY, VALUE)

    got, want = derivatives(implementation="chunked", chunk=4), derivatives(implementation="plain")
    agrees.values("nn.dot_product_attention, chunked, jvp and grad of jvp", "plain", got, want, most=2e-5)


def temporary_bytes(time, *, backward, **options):
    def attend(q, k, v):
        return dot_product_attention(q, k, v, **options)

    f = jax.grad(lambda *x: jnp.sum(jnp.sin(attend(*x))), (0, 1, 2)) if backward else attend
    shape = jax.ShapeDtypeStruct((1, time, 2, 16), "float32")
    return jax.jit(f).lower(shape, shape, shape).compile().memory_analysis().temp_size_in_bytes


STRUCTURE = {
    "bare": {},
    "all": {"causal": True, "slopes": jnp.ones(2), "softcap": 2.0},
    "window": {"causal": True, "window": 64},
}


@pytest.mark.parametrize("backward", [False, True], ids=["value", "gradient"])
@pytest.mark.parametrize("options", STRUCTURE)
def test_memory_grows_linearly_with_the_length(options, backward):
    sizes = [temporary_bytes(1024 * 2**i, backward=backward, **STRUCTURE[options]) for i in range(4)]
    assert all(b < 2.3 * a for a, b in pairwise(sizes)), sizes
    assert sizes[-1] < 8192 * 8192 * 4 / 4, "a quarter of the logits of one head"


def test_plain_memory_grows_with_the_square_so_that_the_test_above_can_fail():
    a, b = (temporary_bytes(time, backward=True, implementation="plain") for time in (1024, 2048))
    assert b > 3 * a


def test_none_chooses_by_the_number_of_queries():
    used = lambda time, **options: temporary_bytes(time, backward=True, **options)
    assert used(512) == used(512, implementation="plain")
    assert used(513) == used(513, implementation="chunked") < used(513, implementation="plain")
    assert used(512, chunk=64) == used(512, chunk=64, implementation="chunked")


def test_chunked_attention_can_be_mapped():
    q, k, v = (jnp.stack([x, 2 * x]) for x in (QUERY, KEY, VALUE))
    attend = lambda q, k, v, n: dot_product_attention(q, k, v, causal=True, window=2, offset=n, chunk=4)
    got = jax.jit(jax.vmap(attend))(q, k, v, jnp.array([0, 3]))
    want = jnp.stack([attend(q[i], k[i], v[i], n) for i, n in enumerate((0, 3))])
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
