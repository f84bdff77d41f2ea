"""The statistics that earn the counter generator its place under dropout: what a mask must not show."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn.noise.counter import hashed_bits

N = 1 << 20
SIGMAS = 5  # one false alarm in two million


def words(seed):
    return jax.random.key_data(jax.random.key(seed))


def bits(seed, n=N):
    return np.asarray(jax.jit(hashed_bits, static_argnums=(1, 2))(words(seed), 32, (n,)))


def assert_fair(ones, draws):
    """So many ones in so many throws of a fair coin."""
    assert (np.abs(np.asarray(ones, float) - draws / 2) < SIGMAS * np.sqrt(draws) / 2).all()


def planes(x):
    """The 32 bits of each word.  (n,) -> (32, n)"""
    return (x[None] >> np.arange(32, dtype=np.uint32)[:, None]) & 1


def assert_even(cells, count):
    """Chi-squared of draws on equally likely cells lies within its normal bounds."""
    counts = np.bincount(cells, minlength=count)
    expected = len(cells) / count
    chi = np.sum((counts - expected) ** 2) / expected
    assert abs(chi - (count - 1)) < SIGMAS * np.sqrt(2 * (count - 1))


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_every_bit_is_fair_and_independent_of_every_other(seed):
    each = planes(bits(seed))
    assert_fair(each.sum(1), N)
    for a, b in itertools.combinations(each, 2):
        assert_fair((a ^ b).sum(), N)


@pytest.mark.parametrize("distance", [1, 2, 3, 10, 28, 64, 128, 784, 1024, 4096, 1 << 16])
def test_neighbours_in_every_usual_axis_are_independent(distance):
    x = bits(3)
    assert_fair(planes(x[distance:] ^ x[:-distance]).sum(1), N - distance)
    high = x >> 24
    assert_even(high[:-distance].astype(np.int64) * 256 + high[distance:], 1 << 16)


def test_bytes_and_runs_are_even():
    x = bits(4)
    for shift in (0, 8, 16, 24):
        assert_even(((x >> shift) & 255).astype(np.int64), 256)
    coins = (x >> 31).astype(np.int64)
    runs = sum(coins[i : N - 11 + i] << i for i in range(12))[::12]
    assert_even(runs, 1 << 12)


def test_keys_of_successive_steps_and_of_parts_share_nothing():
    key = jax.random.key(0)
    data = jax.vmap(lambda i: jax.random.key_data(jax.random.fold_in(key, i)))(jnp.arange(256))
    rows = np.asarray(jax.vmap(lambda words: hashed_bits(words, 32, (4096,)))(data))
    assert_fair(planes((rows[1:] ^ rows[:-1]).ravel()).sum(1), rows[1:].size)
    means = (rows >> 8).mean(1) / 2**24  # of uniform numbers: normal with variance 1 / (12 n)
    z = (means - 0.5) * np.sqrt(12 * rows.shape[1])
    assert abs(z.mean()) < SIGMAS / np.sqrt(len(z))
    assert abs(z.var() - 1) < SIGMAS * np.sqrt(2 / len(z))


def test_the_order_of_axes_is_that_of_memory_and_widths_are_those_asked():
    key = nn.noise_key(jax.random.key(6))
    flat = jax.random.bits(key, (24,))
    np.testing.assert_array_equal(jax.random.bits(key, (2, 3, 4)).ravel(), flat)
    np.testing.assert_array_equal(jax.random.bits(key, (24,), jnp.uint8), np.asarray(flat) >> 24)
    assert jax.random.bits(key, ()).shape == ()
    assert jax.random.bits(key, (0, 3)).shape == (0, 3)
    with jax.enable_x64(True):
        assert len(np.unique(jax.random.bits(key, (1000,), jnp.uint64))) == 1000


def test_bits_are_those_of_the_hash_word_by_word(agrees):
    def mixed(x):
        for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = (x ^ x >> shift) * factor % 2**32
        return x ^ x >> 16

    first, second = map(int, words(9))
    want = [mixed((mixed(i ^ first) + second) % 2**32) for i in range(100)]
    got = jax.random.bits(nn.noise_key(jax.random.key(9)), (100,))
    agrees.values("nn.noise_key", "the hash, in whole numbers", np.asarray(got, float), np.asarray(want, float))


def test_a_mapped_key_draws_what_it_draws_alone():
    keys = jax.random.split(jax.random.key(7), 3)
    draw = lambda key: jax.random.bits(nn.noise_key(key), (5,))
    np.testing.assert_array_equal(jax.vmap(draw)(keys), np.stack([draw(key) for key in keys]))


def test_the_plain_mask_is_that_of_jax_and_both_have_its_distribution():
    x, key = jnp.ones((1000, 100)), jax.random.key(8)
    plain = nn.dropout(0.3, plain=True).apply({}, {}, x, key=key, train=True)[0]
    np.testing.assert_array_equal(plain != 0, jax.random.bernoulli(key, 0.7, x.shape))
    ours = nn.dropout(0.3).apply({}, {}, x, key=key, train=True)[0]
    assert abs(float((ours == 0).mean()) - 0.3) < SIGMAS * np.sqrt(0.21 / x.size)
    assert not np.array_equal(plain, ours)


def test_another_generator_stays_what_it_is():
    key = jax.random.key(0, impl="unsafe_rbg")
    assert nn.noise_key(key) is key
