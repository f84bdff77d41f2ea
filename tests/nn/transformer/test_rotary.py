"""Rotary positions against complex numbers, matrices of rotation and the published rules of Llama 3.1."""

import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 5, 3, 6))
POSITIONS = np.array([[0, 1, 2, 3, 4], [7, 9, 2, 100, 3]])


def turned(x, positions, base, interleaved):
    """Each pair as a complex number times exp(i angle), position by position."""
    y, half = np.empty_like(x), x.shape[-1] // 2
    for i in range(half):
        first, second = (2 * i, 2 * i + 1) if interleaved else (i, i + half)
        angle = positions[:, :, None] / base ** (2 * i / x.shape[-1])
        z = (x[..., first] + 1j * x[..., second]) * np.exp(1j * angle)
        y[..., first], y[..., second] = z.real, z.imag
    return y


@pytest.mark.parametrize("interleaved", [False, True], ids=["halves", "interleaved"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pairs_turn_as_complex_numbers_do(agrees, interleaved, dtype):
    with jax.enable_x64(dtype == "float64"):
        got = nn.rotary(100.0, interleaved=interleaved)(jnp.asarray(X, dtype), jnp.asarray(POSITIONS))
        assert got.dtype == dtype
    kind = "interleaved" if interleaved else "halves"
    agrees.values(f"nn.rotary, {kind}", "complex numbers", got, turned(X, POSITIONS, 100.0, interleaved))


@pytest.mark.parametrize("interleaved", [False, True], ids=["halves", "interleaved"])
def test_products_depend_on_the_distance_alone(interleaved):
    q, k = jnp.asarray(X[:, :, :1], jnp.float32), jnp.asarray(X[:, :, 1:2], jnp.float32)
    rotate = nn.rotary(interleaved=interleaved)

    def products(shift):
        places = jnp.arange(5)[None] + shift
        return jnp.einsum("bthd,bshd->bts", rotate(q, places), rotate(k, places))

    np.testing.assert_allclose(products(0), products(13), atol=2e-5)
    assert not np.allclose(products(0), jnp.einsum("bthd,bshd->bts", q, k), atol=1e-2)


def test_large_positions_are_exact_in_sixteen_bits():
    x, places = jnp.ones((1, 1, 1, 4), jnp.bfloat16), jnp.array([[1001]])
    got = nn.rotary()(x, places)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got[0, 0, 0, 0].astype("f"), math.cos(1001) - math.sin(1001), atol=1e-2)


def test_long_contexts_have_the_frequencies_of_llama(agrees):
    def published(frequency, factor=8.0, low=1.0, high=4.0, context=8192):
        length = 2 * math.pi / frequency
        if length < context / high:
            return frequency
        if length > context / low:
            return frequency / factor
        smooth = (context / length - low) / (high - low)
        return (1 - smooth) * frequency / factor + smooth * frequency

    frequencies = 500000.0 ** (-np.arange(0, 128, 2) / 128)
    want = np.array([published(f) for f in frequencies])
    assert len({published(f) / f for f in frequencies}) > 4  # all three branches are met
    got = nn.ntk_by_parts()(jnp.asarray(frequencies, jnp.float32))
    agrees.values("nn.ntk_by_parts", "the rule of Llama 3.1", got, want)
    one = jnp.zeros((1, 1, 1, 128)).at[..., :64].set(1.0)
    y = nn.rotary(500000.0, scaling=nn.ntk_by_parts())(one, jnp.array([[3]]))
    np.testing.assert_allclose(y[0, 0, 0, :64], np.cos(3 * want), atol=1e-6)


def test_is_a_value():
    rotate = nn.rotary(500000.0, scaling=nn.ntk_by_parts(4.0))
    assert repr(rotate) == "rotary(base=500000.0, scaling=ntk_by_parts(factor=4.0))"
    assert pickle.loads(pickle.dumps(rotate)) == rotate != nn.rotary(500000.0)


def test_what_cannot_be_turned_says_so():
    with pytest.raises(ShapeError, match="head_dim must be even, got 5"):
        nn.rotary()(jnp.ones((1, 2, 1, 5)), jnp.array([[0, 1]]))
    with pytest.raises(ShapeError, match=r"rotary turns \(batch, time, heads, head_dim\)"):
        nn.rotary()(jnp.ones((2, 1, 4)), jnp.array([[0, 1]]))
    with pytest.raises(ValueError, match="low must be below high, got"):
        nn.ntk_by_parts(low=4.0)
