"""softplus and its mirror image, to the last digits in both tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn

X = np.linspace(-85, 85, 200_001, dtype=np.float32)
WANT = np.logaddexp(0, X.astype(np.float64))


@pytest.mark.parametrize(("dtype", "units"), [("float32", 4), ("bfloat16", 0.51), ("float16", 0.51)])
def test_to_a_few_units_in_the_last_place(dtype, units):
    x = jnp.asarray(X, dtype)
    exact = np.logaddexp(0, np.asarray(x, np.float64))
    for got, want in ((nn.softplus(x), exact), (nn.log_sigmoid(-x), -exact)):
        assert got.dtype == dtype
        unit = np.maximum(np.exp2(np.floor(np.log2(np.abs(want)))), jnp.finfo(dtype).tiny) * float(jnp.finfo(dtype).eps)
        assert np.max(np.abs(np.asarray(got, np.float64) - want) / unit) <= units


def test_in_float64_it_is_that_of_numpy():
    with jax.enable_x64(True):
        np.testing.assert_allclose(nn.softplus(X.astype(np.float64)), WANT, rtol=1e-15)


def test_derivatives_at_and_beside_the_kink_of_its_formula():
    for order, want in enumerate((1 / 2, 1 / 4, 0, -1 / 8)):
        slope = nn.softplus
        for _ in range(order + 1):
            slope = jax.grad(slope)
        np.testing.assert_allclose([slope(0.0), slope(-0.0), slope(1e-7)], want, atol=1e-6)


def test_ends_of_the_line_and_integers():
    np.testing.assert_array_equal(nn.softplus(jnp.array([jnp.inf, -jnp.inf, jnp.nan])), [jnp.inf, 0, jnp.nan])
    np.testing.assert_array_equal(jax.vmap(jax.grad(nn.softplus))(jnp.array([jnp.inf, -jnp.inf])), [1, 0])
    assert nn.softplus(2) == nn.softplus(2.0)
