"""LMS ends where least squares does, at the pace and with the noise of its theory; MADALINE turns as few as it must."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models

RNG = np.random.default_rng(0)


def learn(x, target, rate, epochs, kernel=None):
    kernel = jnp.zeros((x.shape[1], *target.shape[1:])) if kernel is None else kernel
    update = partial(models.lms_update, rate=rate)
    order = np.tile(np.arange(len(x)), epochs)
    return jax.jit(partial(models.learn_online, update))(kernel, jnp.asarray(x)[order], jnp.asarray(target)[order])


@pytest.mark.parametrize(("rows", "columns"), [(40, 5), (4, 12)], ids=["one solution", "many solutions"])
def test_consistent_targets_are_met_by_the_least_squares_solution(rows, columns, agrees):
    """Of many exact solutions LMS from zero finds the shortest, which is the one that lstsq gives."""
    with jax.enable_x64(True):
        x = RNG.normal(size=(rows, columns))
        target = x @ RNG.normal(size=(columns, 3))
        learnt = learn(x, target, 0.02, 3000 if rows < columns else 400)
        want = np.linalg.lstsq(x, target)[0]
        agrees.values("models.lms_update", "numpy.linalg.lstsq", learnt.kernel, want)


def test_other_targets_are_met_as_near_as_the_rate_allows():
    with jax.enable_x64(True):
        x = RNG.normal(size=(50, 4))
        target = x @ np.array([1.0, -2, 0, 3]) + RNG.normal(size=50)
        want = np.linalg.lstsq(x, target)[0]
        off = [float(jnp.linalg.norm(learn(x, target, rate, 600).kernel - want)) for rate in (4e-3, 2e-3, 1e-3)]
        assert off[-1] < 0.02 * np.linalg.norm(want)
        np.testing.assert_allclose(np.array(off[:-1]) / off[1:], 2, rtol=0.1)  # in proportion to the rate


def test_it_is_stable_exactly_below_one_over_the_largest_eigenvalue():
    """For one example R = x xᵀ, whose eigenvalue is |x|²; the error is multiplied by 1 - 2 rate |x|² at each step."""
    x, target = jnp.array([[1.0, 2, -2]]), jnp.array([1.0])
    assert np.linalg.eigvalsh(models.correlation(x))[-1] == pytest.approx(9)
    for factor, stable in ((0.99, True), (1.01, False)):
        error = np.abs(learn(x, target, factor / 9, 60).seen)
        assert (error[-1] < error[0]) == stable
        np.testing.assert_allclose(error, np.abs(1 - 2 * factor) ** np.arange(60), rtol=1e-3)


def test_time_constants_and_misadjustment_are_those_of_the_theory():
    r = models.correlation(jnp.array([[3.0, 0], [0, 1], [3, 0], [0, 1]]))
    np.testing.assert_allclose(models.time_constants(r, 0.01), [50, 50 / 9], rtol=1e-6)
    assert models.misadjustment(r, 0.02) == pytest.approx(0.1 / 0.9)


def test_the_measured_misadjustment_is_that_of_the_inputs_correlation():
    x = jax.random.normal(jax.random.key(0), (32, 6000, 6))
    target = x.sum(-1) + jax.random.normal(jax.random.key(1), (32, 6000))
    r = models.correlation(x.reshape(-1, 6))
    rate = 0.06 / float(jnp.trace(r))
    update = partial(models.lms_update, rate=rate)
    seen = jax.jit(jax.vmap(partial(models.learn_online, update, jnp.zeros(6))))(x, target).seen
    least = np.linalg.lstsq(x.reshape(-1, 6), target.ravel())[1][0] / target.size
    excess = float(jnp.mean(seen[:, 1000:] ** 2)) / least - 1
    assert excess == pytest.approx(float(models.misadjustment(r, rate)), rel=0.1)


def test_each_mode_of_the_error_has_its_own_pace():
    """The kernel of two inputs, never on together, is two problems of one; each falls by (1 - 2 rate λ)."""
    x = np.diag([2.0, 0.5]).astype(np.float32)
    learnt = learn(x, np.zeros(2, np.float32), 0.01, 50, jnp.ones(2))
    np.testing.assert_allclose(learnt.kernel, [(1 - 0.02 * 4) ** 50, (1 - 0.02 * 0.25) ** 50], rtol=1e-4)


def test_madaline_is_a_majority():
    kernel, x = jnp.array([[1.0, -1, 2], [0, 0, 0]]), jnp.array([[1.0, 0], [-1, 0], [0, 1]])
    np.testing.assert_array_equal(models.adaline(kernel, x), [[1, -1, 1], [-1, 1, -1], [1, 1, 1]])
    np.testing.assert_array_equal(models.madaline(kernel, x), [1, -1, 1])


def test_as_few_as_needed_are_turned_the_nearest_first():
    kernel = jnp.array([[-3.0, -0.5, 2.0, -0.1, -1.0]])  # the sums, for the input 1
    x, target = jnp.array([2.0]), jnp.array(1.0)
    after, wrong = models.minimum_disturbance_update(kernel, x, target)
    assert wrong
    np.testing.assert_allclose(after * 2, [[-6, 1, 4, 1, -2]])  # one is right, two more make a majority of five
    assert models.madaline(after, x) == 1
    same, wrong = models.minimum_disturbance_update(after, x, target)
    assert not wrong
    np.testing.assert_array_equal(same, after)


def test_three_adalines_with_a_majority_learn_xor():
    x = models.with_bias(jnp.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]]))
    target = jnp.array([-1.0, 1, 1, -1])

    def one(key):
        order = jax.random.randint(key, (800,), 0, 4)
        start = jax.random.normal(key, (3, 3))
        kernel = models.learn_online(models.minimum_disturbance_update, start, x[order], target[order]).kernel
        return (models.madaline(kernel, x) == target).all()

    assert jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 50)).mean() >= 0.95
