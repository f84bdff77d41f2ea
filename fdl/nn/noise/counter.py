"""Random bits as a hash of a key and a counter: ten times as fast on a CPU as JAX's own.

The masks of dropout are most of what a step draws, and only have to look random, not to keep a secret.  So keys are
made as ever, by `fold_in` and `split` of Threefry, and only the last step, from one key to many bits, is a hash: entry
i is i through two rounds of a mixer of 32 bits, each keyed by a word of the key.  XLA melts it into what uses it, where
Threefry's twenty rounds are a program of their own.  tests/nn/noise/test_counter.py holds the statistics that earn it.
"""

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl, threefry_prng_impl


def noise_key(key: jax.Array) -> jax.Array:
    """A key of the counter generator, to draw one array from.  A key of any generator but Threefry stays as it is.

    So jax.random.key(seed, impl="rbg") has all layers draw by that generator; `dropout(rate, plain=True)` draws by the
    key that it is given, whatever it is.
    """
    if jax.random.key_impl(key) != "threefry2x32":
        return key
    return jax.random.wrap_key_data(jax.random.key_data(key), impl=COUNTER)


def hashed_bits(words: jax.Array, bit_width: int, shape: tuple[int, ...]) -> jax.Array:
    """Random bits from the words (2,) of a key.  -> unsigned (shape) of 8, 16, 32 or 64 bits"""
    if bit_width == 64:
        low, high = hashed_bits(words, 32, (2, *shape)).astype(jnp.uint64)
        return low | (high << jnp.uint64(32))
    index = jnp.zeros(shape, jnp.uint32)
    stride = 1  # wraps around only beyond 2^32 entries, far from each other
    for axis in reversed(range(len(shape))):
        index += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride % 2**32)
        stride *= shape[axis]
    bits = _mixed(_mixed(index ^ words[0]) + words[1])
    return bits if bit_width == 32 else (bits >> jnp.uint32(32 - bit_width)).astype(f"uint{bit_width}")


def _mixed(x: jax.Array) -> jax.Array:
    """Each bit depends on all: a permutation of 32 bits, https://nullprogram.com/blog/2018/07/31 (public domain)."""
    x = (x ^ (x >> jnp.uint32(16))) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> jnp.uint32(15))) * jnp.uint32(0x846CA68B)
    return x ^ (x >> jnp.uint32(16))


COUNTER = define_prng_impl(
    key_shape=threefry_prng_impl.key_shape,
    seed=threefry_prng_impl.seed,
    split=threefry_prng_impl.split,
    fold_in=threefry_prng_impl.fold_in,
    random_bits=hashed_bits,
    name="fdl_counter",
    tag="fdlc",
)
