"""The perceptron against a plain loop, and within Novikoff's bound; on XOR it goes round in circles."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examples.history.perceptron import margin, novikoff, on_xor, separable_sets
from fdl import models
from fdl.checks import DtypeError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32).round(2)
SIGNS, LABELS = np.sign(X[:, 0] + RNG.normal(size=60)).astype(np.float32), RNG.integers(0, 3, 60).astype(np.int32)


def test_binary_is_a_plain_loop_weight_for_weight():
    kernel, sums, wrong = np.zeros(5, np.float32), np.zeros(5, np.float32), []
    for x, target in zip(X, SIGNS):
        wrong.append(target * np.float32(sum(kernel * x)) <= 0)
        if wrong[-1]:
            kernel = kernel + np.float32(0.5) * target * x
        sums = sums + kernel
    learnt = models.learn_online(partial(models.perceptron_update, rate=0.5), jnp.zeros(5), X, SIGNS)
    np.testing.assert_array_equal(learnt.seen, wrong)
    np.testing.assert_array_equal(learnt.kernel, kernel)
    np.testing.assert_allclose(learnt.average, sums / 60, rtol=1e-6)
    assert 5 < sum(wrong) < 55


def test_multiclass_is_a_plain_loop_weight_for_weight():
    kernel, wrong = np.zeros((5, 3), np.float32), []
    for x, label in zip(X, LABELS):
        guess = int(np.argmax(x @ kernel))
        wrong.append(guess != label)
        kernel[:, label] += x
        kernel[:, guess] -= x
    learnt = models.learn_online(models.multiclass_perceptron_update, jnp.zeros((5, 3)), X, LABELS)
    np.testing.assert_array_equal(learnt.seen, wrong)
    np.testing.assert_allclose(learnt.kernel, kernel, atol=1e-6)
    np.testing.assert_allclose(learnt.kernel.sum(1), 0, atol=1e-5)  # what one class gains another loses


def test_the_vote_is_that_of_every_kernel_there_has_been():
    test = RNG.normal(size=(40, 5)).astype(np.float32)
    kernel, votes = np.zeros(5), np.zeros(40)
    for x, target in zip(X, SIGNS):
        if target * (kernel @ x) <= 0:
            kernel = kernel + target * x
        votes += np.where(test @ kernel > 0, 1, -1)
    learnt = models.learn_online(models.perceptron_update, jnp.zeros(5), X, SIGNS)
    np.testing.assert_array_equal(models.vote(X, SIGNS, learnt.seen, test), np.where(votes > 0, 1, -1))


def test_on_200_separable_sets_mistakes_stay_within_the_bound_of_the_exact_margin():
    pytest.importorskip("scipy.optimize")
    found = novikoff(seed=0)
    assert found["within_bound"] == 1
    assert 0.01 < found["most_used"] <= 1


def test_the_margin_is_the_largest():
    """Points on a line through the origin have their smallest distance; of others no direction of many is better."""
    optimize = pytest.importorskip("scipy.optimize")
    assert margin(np.array([[3.0, 0], [2, 0], [5, 0]])) == pytest.approx(2)
    assert margin(np.array([[1.0, 0], [0, 1]])) == pytest.approx(np.sqrt(0.5))
    for x, target in zip(*separable_sets(0, sets=5)):
        signed = (x * target[:, None]).astype(float)
        shortest = optimize.minimize(
            *(lambda v: v @ v, signed[0] * 10),
            jac=lambda v: 2 * v,
            constraints={"type": "ineq", "fun": lambda v, s=signed: s @ v - 1, "jac": lambda v, s=signed: s},
            options={"maxiter": 500, "ftol": 1e-14},
        )
        assert shortest.success
        assert margin(signed) == pytest.approx(1 / np.linalg.norm(shortest.x), rel=1e-5)


def test_on_xor_the_weights_come_back_to_where_they_were():
    found = on_xor(seed=0)
    assert found["xor_period"] > 0
    assert 1 <= found["xor_longest"] < 10


def test_mistakes_say_what_to_do():
    with pytest.raises(ShapeError, match="with_bias adds"):
        models.learn_online(models.perceptron_update, jnp.zeros(6), X, SIGNS)
    with pytest.raises(ShapeError, match="a target for each"):
        models.learn_online(models.perceptron_update, jnp.zeros(5), X, SIGNS[:-1])
    with pytest.raises(DtypeError, match="floating point"):
        models.with_bias(np.ones((2, 3), np.uint8))
    with pytest.raises(ShapeError, match="a target and a mistake"):
        models.vote(X, SIGNS, SIGNS[:-1] > 0, X)
    assert models.with_bias(jnp.zeros((2, 3))).tolist() == [[0, 0, 0, 1]] * 2
    assert jax.eval_shape(models.with_bias, jnp.zeros((2, 3, 4))).shape == (2, 3, 5)
