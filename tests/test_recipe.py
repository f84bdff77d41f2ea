"""Configuration is a value."""

import copy
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

from fdl.recipe import Function, Recorded, recipe


@recipe(Function)
def scaled(factor, *rest, offset=0.0, **named):
    return lambda x: factor * x + offset


def double(x):
    return 2 * x


def test_prints_as_the_call_without_its_defaults():
    assert repr(scaled(2)) == "scaled(factor=2)"
    assert repr(scaled(2, offset=0.0)) == "scaled(factor=2)"
    assert (
        repr(scaled(double, 1, [2, scaled(3)], name=(4,)))
        == "scaled(factor=double, 1, [2, scaled(factor=3)], name=(4,))"
    )
    assert repr(scaled(np.zeros((2, 3), np.float32))) == "scaled(factor=float32[2,3])"


def test_equal_by_value_however_the_call_was_written():
    assert scaled(2) == scaled(factor=2) == scaled(2, offset=0.0)
    assert hash(scaled(2)) == hash(scaled(factor=2))
    assert scaled(2) != scaled(3)
    assert scaled(2) != scaled(2.0)
    assert scaled(1) != scaled(True)
    assert scaled(np.arange(3, dtype=np.int32)) == scaled(jnp.arange(3))
    assert scaled(np.arange(3)) != scaled(np.arange(4))
    assert scaled({"a": [1]}) == scaled({"a": [1]})


def test_pickles_and_copies_by_the_call():
    made = scaled(2, offset=1.0)
    for again in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert again == made
        assert again(3) == 7


def test_a_value_cannot_be_changed():
    with pytest.raises(AttributeError):
        scaled(2).function = double


def test_made_by_hand_it_is_equal_to_itself_alone_and_refuses_to_pickle():
    one, other = Function(double), Function(double)
    assert one == one
    assert one != other
    with pytest.raises(pickle.PicklingError, match="constructor"):
        pickle.dumps(one)


def test_a_wrong_call_is_pythons_own_error_and_a_wrong_result_ours():
    with pytest.raises(TypeError, match=r"scaled\(\) missing 1 required positional argument: 'factor'"):
        scaled()

    @recipe(Recorded)
    def broken():
        return 3

    with pytest.raises(TypeError, match="must return a Recorded, got int"):
        broken()
