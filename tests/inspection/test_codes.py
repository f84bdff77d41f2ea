"""Codes read from a model in which they were planted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError
from fdl.inspection import binary_codes, capture, distinct_codes, hamming_distances

BITS = np.indices((2, 2, 2)).reshape(3, 8).T.astype(bool)


def test_a_planted_code_is_found_and_its_distances_are_those_of_its_bits():
    model = nn.serial(code=nn.serial(nn.dense(8, 3), nn.sigmoid), output=nn.dense(3, 8))
    params, state = model.init(jax.random.key(0))
    params["code"]["dense_0"]["kernel"] = jnp.asarray(6.0 * BITS - 3)
    values = capture(model, "code", params, state, jnp.eye(8))[2]["code"]
    codes = binary_codes(values)
    np.testing.assert_array_equal(codes, BITS)
    number = BITS @ [4, 2, 1]
    want = [[(int(a) ^ int(b)).bit_count() for b in number] for a in number]
    np.testing.assert_array_equal(hamming_distances(codes), want)
    assert int(distinct_codes(codes)) == 8


def test_equal_codes_are_counted_once():
    rows = np.random.default_rng(0).integers(0, 2, (5, 12, 3)).astype(bool)
    want = [len(np.unique(one, axis=0)) for one in rows]
    assert len(set(want)) > 1
    np.testing.assert_array_equal(jax.jit(jax.vmap(distinct_codes))(jnp.asarray(rows)), want)
    with pytest.raises(ShapeError, match="codes must have shape"):
        distinct_codes(jnp.asarray(rows))
