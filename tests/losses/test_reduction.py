"""The mean over what is there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.losses import masked_mean
from fdl.losses.reduction import log_sum


def test_equals_torch(agrees):
    pytest.importorskip("torch")
    x, keep = np.random.default_rng(0).normal(size=(3, 5)), np.arange(15).reshape(3, 5) % 4 != 0
    theirs = lambda x, keep: x[keep].mean()
    agrees.torch("losses.masked_mean", masked_mean, theirs, x, keep)


def test_padding_does_not_change_the_mean():
    x = jax.random.normal(jax.random.key(0), (10,))
    padded = jnp.concatenate([x, jnp.full(6, jnp.nan)])
    np.testing.assert_allclose(masked_mean(padded, jnp.arange(16) < 10), np.mean(np.asarray(x)), rtol=1e-6)
    np.testing.assert_allclose(masked_mean(x), np.mean(np.asarray(x)), rtol=1e-6)
    gradient = jax.grad(masked_mean)(padded, jnp.arange(16) < 10)
    np.testing.assert_allclose(gradient, np.where(np.arange(16) < 10, 0.1, 0), rtol=1e-6)


def test_nothing_left_is_zero_with_zero_gradient():
    nothing = jnp.zeros(3, bool)
    assert masked_mean(jnp.full(3, jnp.nan), nothing) == 0
    np.testing.assert_array_equal(jax.grad(masked_mean)(jnp.ones(3), nothing), 0)
    assert masked_mean(jnp.zeros((0, 4))) == 0


def test_accumulates_in_float32():
    mean = masked_mean(jnp.ones(10_000, jnp.bfloat16) * 3, jnp.ones(10_000, bool))
    assert mean.dtype == jnp.float32
    assert mean == 3
    assert masked_mean(jnp.full(10, 60_000.0, jnp.float16)) == 60_000


def test_refuses_weights_and_wrong_shapes():
    with pytest.raises(DtypeError, match="where must be boolean"):
        masked_mean(jnp.ones(3), jnp.ones(3))
    with pytest.raises(ShapeError, match="where must have shape"):
        masked_mean(jnp.ones((3, 1)), jnp.ones(3, bool))
    with pytest.raises(DtypeError, match="values must be floating point"):
        masked_mean(jnp.ones(3, int))


def test_the_logarithm_of_a_sum_of_nothing_has_a_gradient():
    x = jnp.array([[-jnp.inf, -jnp.inf], [1000.0, -jnp.inf], [0.0, 0.0]])
    np.testing.assert_allclose(log_sum(x), [-jnp.inf, 1000, np.log(2)], rtol=1e-6)
    gradient = jax.grad(lambda x: log_sum(x)[1:].sum() + jnp.maximum(log_sum(x)[0], 0))(x)
    np.testing.assert_array_equal(gradient, [[0, 0], [1, 0], [0.5, 0.5]])
    assert jnp.isnan(log_sum(jnp.array([jnp.nan, 0.0])))
