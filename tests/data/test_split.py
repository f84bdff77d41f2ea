"""Parts and moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError
from fdl.data import fit_moments, hold_out, k_folds, split, standardise


def test_hold_out_takes_the_last():
    rest, held = hold_out({"x": np.arange(10)}, 3)
    assert rest["x"].tolist() == list(range(7))
    assert held["x"].tolist() == [7, 8, 9]
    for count in (0, 10, -1):
        with pytest.raises(ValueError, match="1 to 9 of 10"):
            hold_out(np.arange(10), count)


def test_split_is_disjoint_random_and_repeatable():
    x = {"a": np.arange(100), "b": np.arange(100) * 2}
    parts = split(x, 50, 30, 20, seed=4)
    assert [len(part["a"]) for part in parts] == [50, 30, 20]
    np.testing.assert_array_equal(np.sort(np.concatenate([part["a"] for part in parts])), np.arange(100))
    assert (np.diff(parts[0]["a"]) < 0).any()
    jax.tree.map(np.testing.assert_array_equal, parts, split(x, 50, 30, 20, seed=4))
    assert parts[0]["a"].tolist() != split(x, 50, 30, 20, seed=5)[0]["a"].tolist()
    np.testing.assert_array_equal(split(jnp.arange(100), 50, seed=4)[0], parts[0]["a"])
    assert all((part["b"] == part["a"] * 2).all() for part in parts)
    for sizes in ((), (0, 5), (60, 41)):
        with pytest.raises(ValueError, match="100 examples"):
            split(x, *sizes, seed=0)


@pytest.mark.parametrize("axis", [0, (0, 1, 2), (0, -1), (0, 1, 2, 3)])
def test_moments_of_images_are_those_of_float64(axis):
    x = np.random.default_rng(0).integers(0, 256, (3000, 28, 28, 1), dtype=np.uint8)
    mean, std = fit_moments(x, axis)
    assert mean.dtype == std.dtype == np.float32
    assert mean.ndim == std.ndim == 3
    np.testing.assert_allclose(mean, x.mean(axis, keepdims=True, dtype=np.float64)[0], rtol=1e-6)
    np.testing.assert_allclose(std, x.astype(np.float64).std(axis, keepdims=True)[0], rtol=1e-6)


def test_moments_far_from_zero_keep_their_digits():
    x = 1e6 + np.random.default_rng(0).normal(size=(5000, 3))
    np.testing.assert_allclose(fit_moments(x).std, x.std(0), rtol=1e-6)


def test_standardised_training_data_have_mean_0_and_deviation_1_and_constants_become_0():
    x = np.random.default_rng(0).integers(0, 256, (500, 4, 4, 1), dtype=np.uint8)
    x[:, 0, 0] = 7
    moments = fit_moments(x)
    y = standardise(x, moments)
    assert isinstance(y, np.ndarray)
    assert y.dtype == np.float32
    assert not y[:, 0, 0].any()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y[:, 1:].std(0), 1, atol=1e-5)
    for found in (
        jax.jit(standardise)(x, moments),
        jax.vmap(lambda image: standardise(image, moments))(jnp.asarray(x)),
        jnp.stack([standardise(jnp.asarray(image), moments) for image in x[:3]]),
    ):
        np.testing.assert_allclose(found, y[: len(found)], rtol=1e-5, atol=1e-6)
    assert standardise(jnp.asarray(x, jnp.bfloat16), moments).dtype == jnp.bfloat16


def test_moments_need_examples():
    with pytest.raises(ShapeError, match="axis 0"):
        fit_moments(np.zeros((3, 4)), 1)
    with pytest.raises(ShapeError, match="at least one"):
        fit_moments(np.zeros((0, 4)))
    with pytest.raises(ShapeError, match="axis 0"):
        fit_moments(np.float32(3))


def test_folds_hold_every_example_once_and_are_those_of_sklearn_in_size():
    selection = pytest.importorskip("sklearn.model_selection")
    x = {"a": np.arange(23), "b": np.arange(23) * 2}
    folds = list(k_folds(x, 5, seed=1))
    sizes = [len(held) for _, held in selection.KFold(5).split(x["a"])]
    assert [len(held["a"]) for _, held in folds] == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate([held["a"] for _, held in folds])), x["a"])
    for rest, held in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([rest["a"], held["a"]])), x["a"])
        np.testing.assert_array_equal(rest["b"], 2 * rest["a"])
    again, other = (next(iter(k_folds(x, 5, seed=seed)))[1]["a"].tolist() for seed in (1, 2))
    assert folds[0][1]["a"].tolist() == again != other
    for count in (1, 24):
        with pytest.raises(ValueError, match=r"\[2, 23\]"):
            k_folds(x, count, seed=0)
