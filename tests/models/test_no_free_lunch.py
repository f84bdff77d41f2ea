"""Over all targets every learner is right half of the time, off each training set, in exact counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models
from fdl.checks import ShapeError


def hidden_parity(x, labels, seen):
    """A learner with a firm opinion and a twist: parity, or its negation if that is nearer to the seen labels."""
    parity = x.sum(-1) % 2 == 1
    agree = ((labels == parity) & seen).sum()
    return jnp.where(2 * agree >= seen.sum(), parity, ~parity)


@pytest.mark.parametrize("learner", [models.majority, models.nearest_neighbour, hidden_parity])
def test_off_each_of_the_254_training_sets_exactly_half_of_the_guesses_are_right(learner):
    targets, splits = models.all_targets(3), models.all_splits(3)
    assert targets.shape == (256, 8)
    assert splits.shape == (254, 8)
    count = jax.jit(lambda: models.right_off_training(learner, targets, splits))()
    np.testing.assert_array_equal(2 * count, 256 * (~splits).sum(1))


def test_a_learner_that_saw_what_it_must_not_would_be_found_out():
    """Labels off the training set are hidden: who gives back the labels is right just where the target is False."""
    targets, splits = models.all_targets(2), models.all_splits(2)
    peeking = lambda x, labels, seen: labels
    np.testing.assert_array_equal(models.right_off_training(peeking, targets, splits), 8 * (~splits).sum(1))
    one = targets[jnp.array([9])]  # on one target it is another matter
    np.testing.assert_array_equal(models.right_off_training(peeking, one, splits), (~splits & ~one).sum(1))


def test_the_learners_are_what_they_say():
    x = models.all_inputs(2).astype(float)
    seen, labels = jnp.array([True, False, False, True]), jnp.array([False, False, False, True])
    assert not models.majority(x, labels, seen).any()  # a tie
    assert models.majority(x, labels, seen.at[0].set(False)).all()
    assert models.nearest_neighbour(x, labels, seen).tolist() == [False, False, False, True]
    assert models.nearest_neighbour(x, labels, seen.at[0].set(False)).all()


def test_mistakes_say_what_to_do():
    with pytest.raises(ValueError, match="1 to 4 bits"):
        models.all_targets(5)
    with pytest.raises(ShapeError, match="splits"):
        models.right_off_training(models.majority, models.all_targets(2), models.all_splits(3))
    with pytest.raises(ShapeError, match="each pattern"):
        models.right_off_training(models.majority, jnp.ones((2, 6), bool), jnp.ones((1, 6), bool))
