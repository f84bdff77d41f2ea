"""Attention against torch, against loops over single numbers, and at its corners."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.nn import dot_product_attention
from fdl.nn.transformer.attend import largest_by_definition, largest_by_halves

WAYS = {"plain": {"implementation": "plain"}, "chunked": {"implementation": "chunked", "chunk": 3}}
WAY = pytest.mark.parametrize("way", WAYS)


def arrays(batch=2, time=7, keys=5, heads=4, kv_heads=2, head_dim=3, value_dim=5, seed=0):
    draw = np.random.default_rng(seed).normal
    shapes = (batch, time, heads, head_dim), (batch, keys, kv_heads, head_dim), (batch, keys, kv_heads, value_dim)
    return [draw(size=shape) for shape in shapes]


def seen(*shape, rate=0.6, seed=1):
    """A mask in which every row sees something: torch gives NaN otherwise."""
    return (np.random.default_rng(seed).random(shape) < rate) | (np.arange(shape[-1]) == 0)


TORCH = {
    "as it is": ({}, {}),
    "causal": ({"causal": True}, {"is_causal": True}),
    "scale": ({"scale": 0.7}, {"scale": 0.7}),
    "mask": ({"where": seen(2, 4, 7, 5)}, {"attn_mask": seen(2, 4, 7, 5)}),
    "mask of the keys": ({"where": seen(2, 1, 1, 5)}, {"attn_mask": seen(2, 1, 1, 5)}),
}


@WAY
@pytest.mark.parametrize("case", TORCH)
def test_attention_is_torch_s(agrees, way, case):
    torch = pytest.importorskip("torch")
    ours, theirs = TORCH[case]
    theirs = {name: torch.tensor(x) if isinstance(x, np.ndarray) else x for name, x in theirs.items()}
    attend = lambda *x: torch.nn.functional.scaled_dot_product_attention(*x, enable_gqa=True, **theirs)
    agrees.torch(
        f"nn.dot_product_attention, {way}, {case}",
        lambda *x: dot_product_attention(*x, **ours, **WAYS[way]),
        lambda *x: attend(*(a.transpose(1, 2) for a in x)).transpose(1, 2),
        *arrays(),
    )


@WAY
@pytest.mark.parametrize("shape", [(2, 4, 7, 5), (1, 4, 7, 5), (2, 1, 1, 5), (1, 1, 7, 5)])
def test_bias_and_its_gradient_are_torch_s(agrees, way, shape):
    torch = pytest.importorskip("torch")

    def theirs(q, k, v, bias):
        q, k, v = (a.transpose(1, 2) for a in (q, k, v))
        y = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, enable_gqa=True, attn_mask=bias.expand(2, 4, 7, 5)
        )
        return y.transpose(1, 2)

    bias = np.random.default_rng(2).normal(size=shape)
    ours = lambda q, k, v, bias: dot_product_attention(q, k, v, bias=bias, **WAYS[way])
    agrees.torch(f"nn.dot_product_attention, {way}, bias", ours, theirs, *arrays(), bias)


def by_loops(query, key, value, *, sees, plus, softcap):
    """One number at a time: sees(b, i, j) says whether query i may look at key j, plus(h, i, j) is added."""
    batch, time, heads, head_dim = query.shape
    y = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, i, h in np.ndindex(batch, time, heads):
        group, total = h // (heads // key.shape[2]), 0.0
        for j in range(key.shape[1]):
            logit = float(np.dot(query[b, i, h], key[b, j, group])) / head_dim**0.5
            logit = softcap * np.tanh(logit / softcap) if softcap else logit
            weight = np.exp(logit + plus(h, i, j)) if sees(b, i, j) else 0.0
            y[b, i, h] += weight * value[b, j, group]
            total += weight
        y[b, i, h] /= total or 1.0
    return y


SEGMENTS = np.array([[1, 1, 2, 2, 2, 3, 3]] * 2), np.array([[3, 1, 2, 2, 9], [1, 2, 3, 3, 3]])
SLOPES = np.array([0.5, 0.25, 0.0, 1.5])
OPTIONS = {
    "softcap": {"softcap": 0.8},
    "window": {"window": 2},
    "causal window": {"causal": True, "window": 2},
    "causal, offset": {"causal": True, "offset": 2},
    "causal window, offset": {"causal": True, "window": 2, "offset": 3},
    "window, offsets": {"window": 3, "offset": np.array([1, -4])},
    "segments": {"segments": SEGMENTS},
    "slopes": {"slopes": SLOPES},
    "slopes, offset": {"slopes": SLOPES, "offset": 2},
    "all": {"softcap": 2.0, "causal": True, "window": 3, "segments": SEGMENTS, "slopes": SLOPES, "offset": 1},
}


@WAY
@pytest.mark.parametrize("case", OPTIONS)
def test_options_are_those_of_the_loops(agrees, way, case):
    options = OPTIONS[case]
    offsets, slopes = np.broadcast_to(options.get("offset", 0), 2), options.get("slopes", np.zeros(4))
    causal, window = options.get("causal", False), options.get("window", 99)

    def sees(b, i, j):
        back = offsets[b] + i - j
        same = "segments" not in options or SEGMENTS[0][b, i] == SEGMENTS[1][b, j]
        return same and (0 <= back < window if causal else -window < back < window)

    plus = lambda h, i, j: -slopes[h] * abs(offsets[0] + i - j)
    want = by_loops(*arrays(), sees=sees, plus=plus, softcap=options.get("softcap"))
    with jax.enable_x64(True):
        got = dot_product_attention(*map(jnp.array, arrays()), **options, **WAYS[way])
    agrees.values(f"nn.dot_product_attention, {way}, {case}", "loops", got, want)


@WAY
def test_a_query_that_may_look_at_nothing_gives_zero_and_zero_gradients(way):
    q, k, v = map(jnp.float32, arrays(time=4))
    where = jnp.ones((1, 1, 4, 5), bool).at[:, :, 1].set(False)
    bias = jnp.zeros((1, 1, 4, 5)).at[:, :, 2].set(-jnp.inf)
    options = {"where": where, **WAYS[way]}

    def loss(q, k, v, bias):
        y = dot_product_attention(q, k, v, bias=bias, **options)
        return jnp.sum(jnp.sin(y[:, 1:3])), y

    gradients, y = jax.jit(jax.grad(loss, (0, 1, 2, 3), has_aux=True))(q, k, v, bias)
    assert jnp.isfinite(y).all()
    assert jnp.all(y[:, 1:3] == 0)
    assert jnp.all(jnp.any(y[:, (0, 3)] != 0, axis=-1))
    assert all(jnp.all(g == 0) for g in gradients)


@WAY
def test_no_keys_give_zeros_and_no_queries_nothing(way):
    q, k, v = map(jnp.float32, arrays(keys=0))
    loss = lambda q: jnp.sum(dot_product_attention(q, k, v, causal=True, **WAYS[way]))
    np.testing.assert_array_equal(dot_product_attention(q, k, v, causal=True, **WAYS[way]), np.zeros((2, 7, 4, 5)))
    np.testing.assert_array_equal(jax.grad(loss)(q), np.zeros((2, 7, 4, 3)))
    q, k, v = map(jnp.float32, arrays(time=0))
    assert dot_product_attention(q, k, v, window=2, **WAYS[way]).shape == (2, 0, 4, 5)


@WAY
def test_causal_attention_does_not_see_the_future(way):
    q, k, v = map(jnp.float32, arrays(time=7, keys=7))
    attend = lambda k, v: dot_product_attention(q, k, v, causal=True, **WAYS[way])[0, :, 0, 0]
    by_key, by_value = (np.abs(g[:, 0]).sum((2, 3)) > 0 for g in jax.jit(jax.jacobian(attend, (0, 1)))(k, v))
    np.testing.assert_array_equal(by_value, np.tril(np.ones((7, 7), bool)))
    np.testing.assert_array_equal(by_key[1:], np.tril(np.ones((7, 7), bool))[1:])
    assert not by_key[0].any()  # one key alone has weight one, whatever it is


@WAY
@pytest.mark.parametrize("options", [{"causal": True}, {"causal": True, "window": 2}], ids=["causal", "window"])
def test_the_last_queries_from_an_offset_are_the_tail_of_all(way, options):
    q, k, v = map(jnp.float32, arrays(time=8, keys=8))
    full = dot_product_attention(q, k, v, **options, **WAYS[way])
    tail = jax.jit(lambda q, n: dot_product_attention(q, k, v, offset=n, **options, **WAYS[way]))
    for last, offset in product((1, 4), ("one", "each")):
        n = jnp.int32(8 - last) if offset == "one" else jnp.full(2, 8 - last)
        np.testing.assert_allclose(tail(q[:, -last:], n), full[:, -last:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@WAY
def test_types_go_in_and_come_out(way, dtype):
    with jax.enable_x64(dtype == "float64"):
        q, k, v = (jnp.array(x, dtype) for x in arrays())
        f = lambda q: dot_product_attention(q, k, v, slopes=jnp.ones(4), bias=jnp.ones((1, 1, 1, 5)), **WAYS[way])
        exact = by_loops(
            *map(np.float64, (q, k, v)), sees=lambda b, i, j: True, plus=lambda h, i, j: -abs(i - j), softcap=0
        )
        gradient = jax.grad(lambda q: jnp.sum(f(q)).astype("float32"))(q)
        assert f(q).dtype == gradient.dtype == dtype
        np.testing.assert_allclose(np.float64(f(q)), exact, atol=4 * jnp.finfo(dtype).eps)


@WAY
def test_large_logits_do_not_overflow(way):
    q, k, v = map(jnp.float32, arrays())
    y = dot_product_attention(1e4 * q, 1e4 * k, v, **WAYS[way])
    nearest = jnp.argmax(jnp.einsum("btkgd,bskd->btkgs", q.reshape(2, 7, 2, 2, 3), k), -1).reshape(2, 7, 4)
    want = np.stack([[[v[b, nearest[b, t, h], h // 2] for h in range(4)] for t in range(7)] for b in range(2)])
    np.testing.assert_allclose(y, want, rtol=1e-6)


def test_the_keys_are_not_repeated():
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in ((1, 1, 64, 32), (1, 512, 1, 32), (1, 512, 1, 32))]
    memory = jax.jit(dot_product_attention).lower(*shapes).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 64 * 512 * 32 * 4 / 2


BAD = {
    "heads 4 must be a multiple of kv_heads 3": lambda q, k, v: (
        (q, k[:, :, :1].repeat(3, 2), v[:, :, :1].repeat(3, 2)),
        {},
    ),
    "query must have shape": lambda q, k, v: ((q[0], k, v), {}),
    "key must have shape .*batch and head_dim": lambda q, k, v: ((q, k[..., :2], v), {}),
    "value must have shape .*batch, keys and kv_heads": lambda q, k, v: ((q, k, v[:, :4]), {}),
    "where must have shape .*all four axes": lambda q, k, v: ((q, k, v), {"where": jnp.ones((7, 5), bool)}),
    "bias must have shape": lambda q, k, v: ((q, k, v), {"bias": jnp.ones((2, 2, 7, 5))}),
    "slopes must have shape": lambda q, k, v: ((q, k, v), {"slopes": jnp.ones(2)}),
    "offset must have shape": lambda q, k, v: ((q, k, v), {"offset": jnp.ones(3, int)}),
    "for keys of another number": lambda q, k, v: ((q, k, v), {"segments": jnp.ones((2, 7), int)}),
    "segments must be one array or the pair": lambda q, k, v: ((q, k, v), {"segments": (jnp.ones((2, 7), int),) * 3}),
    "window must be 1": lambda q, k, v: ((q, k, v), {"window": 0}),
    "softcap must be positive": lambda q, k, v: ((q, k, v), {"softcap": 0.0}),
    "chunk must be 1": lambda q, k, v: ((q, k, v), {"chunk": 0}),
    "implementation must be one of": lambda q, k, v: ((q, k, v), {"implementation": "flash"}),
}
BAD_TYPES = {
    "where must be boolean": {"where": jnp.ones((1, 1, 7, 5))},
    "bias must be floating": {"bias": jnp.ones((1, 1, 7, 5), bool)},
    "slopes must be floating": {"slopes": jnp.ones(4, int)},
    "segments must be integers": {"segments": jnp.ones((2, 7))},
    "offset must be integers": {"offset": 1.5},
}


@pytest.mark.parametrize("match", BAD)
def test_a_wrong_shape_or_number_is_named(match):
    x, options = BAD[match](*map(jnp.float32, arrays()))
    with pytest.raises(ValueError, match=match):
        dot_product_attention(*x, **options)


@pytest.mark.parametrize("match", BAD_TYPES)
def test_a_wrong_type_is_named(match):
    with pytest.raises(DtypeError, match=match):
        dot_product_attention(*map(jnp.float32, arrays()), **BAD_TYPES[match])


def test_three_types_are_not_mixed():
    q, k, v = map(jnp.float32, arrays())
    with pytest.raises(DtypeError, match="of one type, got float32, bfloat16 and float32"):
        dot_product_attention(q, k.astype("bfloat16"), v)
    assert issubclass(ShapeError, ValueError)


@pytest.mark.parametrize("keys", [0, 1, 7, 12, 64])
def test_the_largest_by_halves_is_the_largest(keys):
    rows = np.random.default_rng(0).normal(size=(3, 2, 5, keys)).astype(np.float32)
    rows[0, 0, 0], rows[0, 0, 1, : keys // 2], rows[0, 0, 2, -1:] = -np.inf, -np.inf, np.nan
    np.testing.assert_array_equal(largest_by_halves(rows), largest_by_definition(rows))
