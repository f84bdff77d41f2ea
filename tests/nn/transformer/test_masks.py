"""Masks and slopes against their definitions, entry by entry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.nn import alibi_slopes, causal_mask, length_mask, segment_mask, sliding_window_mask


def by_definition(sees, batch, time, keys):
    mask = np.zeros((batch, 1, time, keys), bool)
    for b, _, i, j in np.ndindex(mask.shape):
        mask[b, 0, i, j] = sees(b, i, j)
    return mask


@pytest.mark.parametrize(("time", "keys", "offset"), [(3, None, 0), (3, 5, 2), (4, 2, 0), (0, 3, 0), (2, 4, [0, 3])])
def test_causal_mask_sees_no_later_position(agrees, time, keys, offset):
    starts = np.atleast_1d(offset)
    want = by_definition(lambda b, i, j: j <= starts[b] + i, len(starts), time, keys or time)
    agrees.values("nn.causal_mask", "definition", causal_mask(time, keys, jnp.array(offset)), want)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("time", "window", "keys", "offset"), [(5, 1, None, 0), (5, 3, None, 0), (3, 2, 7, 4)])
def test_sliding_window_sees_itself_and_so_many_in_all(agrees, time, window, keys, offset, causal):
    def sees(b, i, j):
        back = offset + i - j
        return back in range(window) if causal else abs(back) in range(window)

    got = sliding_window_mask(time, window, keys, offset, causal=causal)
    agrees.values("nn.sliding_window_mask", "definition", got, by_definition(sees, 1, time, keys or time))


def test_a_window_of_one_is_the_diagonal():
    np.testing.assert_array_equal(sliding_window_mask(4, 1)[0, 0], np.eye(4, dtype=bool))


def test_length_mask_sees_the_first_keys(agrees):
    want = by_definition(lambda b, i, j: j < (0, 2, 5)[b], 3, 1, 4)
    agrees.values("nn.length_mask", "definition", length_mask(jnp.array([0, 2, 5]), 4), want)


def test_segment_mask_sees_equal_ids(agrees):
    a, b = np.array([[1, 1, 2], [0, 3, 3]]), np.array([[1, 2, 2, 9], [3, 0, 0, 3]])
    want = by_definition(lambda n, i, j: a[n, i] == b[n, j], 2, 3, 4)
    agrees.values("nn.segment_mask", "definition", segment_mask(jnp.array(a), jnp.array(b)), want)
    np.testing.assert_array_equal(segment_mask(jnp.array(a))[0, 0], [[1, 1, 0], [1, 1, 0], [0, 0, 1]])


def test_slopes_of_a_power_of_two_are_the_paper_s(agrees):
    agrees.values("nn.alibi_slopes", "paper, section 3", alibi_slopes(8), np.array([2.0**-i for i in range(1, 9)]))
    agrees.values(
        "nn.alibi_slopes", "paper, section 3", alibi_slopes(16), np.array([2.0 ** (-i / 2) for i in range(1, 17)])
    )
    agrees.values("nn.alibi_slopes", "paper, section 3", alibi_slopes(1), np.array([2.0**-8]))


def test_slopes_of_other_numbers_of_heads_lie_between(agrees):
    want = [2.0**-i for i in range(1, 9)] + [2.0**-0.5, 2.0**-1.5, 2.0**-2.5, 2.0**-3.5]
    agrees.values("nn.alibi_slopes, 12 heads", "paper's code", alibi_slopes(12), np.array(want))
    agrees.values("nn.alibi_slopes, 3 heads", "paper's code", alibi_slopes(3), np.array([2.0**-4, 2.0**-8, 2.0**-2]))


def test_masks_take_traced_offsets_and_lengths():
    got = jax.jit(lambda n: causal_mask(2, 4, n) & length_mask(n[None], 4))(jnp.int32(2))
    np.testing.assert_array_equal(got[0, 0], [[1, 1, 0, 0], [1, 1, 0, 0]])


def test_wrong_arguments_are_named():
    with pytest.raises(DtypeError, match="lengths must be integers"):
        length_mask(jnp.ones(2), 3)
    with pytest.raises(ShapeError, match="lengths must have shape"):
        length_mask(jnp.ones((2, 1), int), 3)
    with pytest.raises(ShapeError, match="key_segments must have shape"):
        segment_mask(jnp.ones((2, 3), int), jnp.ones(3, int))
    with pytest.raises(ValueError, match="heads must be 1 or more"):
        alibi_slopes(0)
    with pytest.raises(ValueError, match="window must be 1 or more"):
        sliding_window_mask(3, 0)
