"""The protocol, the chain, `only`, weight decay, and what is said about bad input."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import DtypeError, TreeError

PARAMS = {"dense": {"kernel": jnp.full((2, 2), 2.0), "bias": jnp.ones(2)}}
ONES = jax.tree.map(jnp.ones_like, PARAMS)
STATEFUL = [
    optim.accumulate(),
    optim.scale_by_rprop(),
    optim.scale_by_rmsprop(),
    optim.scale_by_adagrad(),
    optim.scale_by_adadelta(),
    optim.scale_by_adam(),
]


def once(transform, updates, params):
    return transform.update(updates, transform.init(params), params)[0]


class Layers(NamedTuple):
    z: jax.Array
    a: jax.Array


@pytest.mark.parametrize("params", [[jnp.full(1, float(i)) for i in range(12)], Layers(jnp.zeros(1), jnp.ones(1))])
def test_only_puts_every_leaf_back_in_its_place(params):
    negated = once(optim.only(optim.leafwise(lambda u: -u), ["1*", "a"][isinstance(params, tuple)]), params, params)
    wanted = [-x if i in (1, 10, 11) else x for i, x in enumerate(params)]
    assert jax.tree.structure(negated) == jax.tree.structure(params)
    assert [float(x[0]) for x in negated] == [float(x[0]) for x in wanted]


def test_only_keeps_state_for_the_leaves_meant_alone():
    state = optim.only(optim.scale_by_adam(), "**/kernel").init(PARAMS)
    assert jax.tree.structure(state.mean) == jax.tree.structure({"dense": {"kernel": 0}})


def test_weight_decay_adds_to_the_leaves_meant():
    found = once(optim.add_weight_decay(0.1), ONES, PARAMS)
    np.testing.assert_allclose(found["dense"]["kernel"], np.full((2, 2), 1.2), rtol=1e-6)
    np.testing.assert_array_equal(found["dense"]["bias"], np.ones(2))


def test_weight_decay_finds_a_bare_kernel():
    found = once(optim.add_weight_decay(0.1), {"kernel": jnp.zeros(1)}, {"kernel": jnp.ones(1)})
    assert float(found["kernel"][0]) == pytest.approx(0.1)


def test_weight_decay_before_adam_is_rescaled_and_after_it_is_not():
    params, zeros = {"kernel": jnp.asarray([10.0, 0.1])}, {"kernel": jnp.zeros(2)}
    l2 = optim.chain(optim.add_weight_decay(0.5), optim.adam(0.1, eps=0.0))
    np.testing.assert_allclose(once(l2, zeros, params)["kernel"], [-0.1, -0.1], rtol=1e-5)
    decoupled = optim.adamw(0.1, weight_decay=0.5)
    np.testing.assert_allclose(once(decoupled, zeros, params)["kernel"], [-0.5, -0.005], rtol=1e-5)


def test_weight_decay_accepts_a_schedule():
    decay = optim.add_weight_decay(optim.piecewise((0.5, 0.0), (1,)))
    zeros = {"kernel": jnp.zeros(1)}
    first, state = decay.update(zeros, decay.init(zeros), {"kernel": jnp.ones(1)})
    second, _ = decay.update(zeros, state, {"kernel": jnp.ones(1)})
    assert [float(first["kernel"][0]), float(second["kernel"][0])] == [0.5, 0.0]


def test_a_pattern_that_matches_nothing_is_an_error():
    with pytest.raises(TreeError, match=r"matches nothing; the paths are 'table'"):
        optim.adamw().init({"table": jnp.ones(2)})


def test_weight_decay_without_parameters_says_so():
    decay = optim.add_weight_decay(0.1)
    with pytest.raises(TypeError, match="needs the parameters"):
        decay.update(ONES, decay.init(PARAMS))


@pytest.mark.parametrize("transform", [*STATEFUL, optim.sgd(0.1), optim.adamw()])
def test_gradients_that_do_not_fit_are_named(transform):
    state = transform.init(PARAMS)
    with pytest.raises(TreeError, match=r"dense/bias: expected float32\[2\], got float32\[1\]"):
        transform.update({"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(1)}}, state, PARAMS)
    with pytest.raises(TreeError, match="dense/bias: missing"):
        transform.update({"dense": {"kernel": jnp.ones((2, 2))}}, state, PARAMS)
    with pytest.raises(TreeError, match="extra: unexpected"):
        transform.update(ONES | {"extra": jnp.ones(1)}, state, PARAMS)


@pytest.mark.parametrize("transform", [*STATEFUL, optim.sgd(0.1), optim.adamw()])
def test_integers_cannot_be_trained(transform):
    with pytest.raises(DtypeError, match=r"'kernel' is int32\[3\]"):
        transform.init({"kernel": jnp.arange(3)})


@pytest.mark.parametrize("transform", STATEFUL[1:])
def test_complex_parameters_are_refused_where_squares_or_signs_are_taken(transform):
    with pytest.raises(DtypeError, match="real and imaginary parts"):
        transform.init({"kernel": jnp.ones(3, jnp.complex64)})


def test_the_state_of_another_optimizer_is_refused():
    with pytest.raises(TreeError, match="opt_state has 1 parts, the chain has 2"):
        optim.adam().update(ONES, optim.sgd(0.1).init(PARAMS), PARAMS)


def test_apply_updates_keeps_the_types_of_the_parameters():
    applied = optim.apply_updates({"x": jnp.ones(2, jnp.bfloat16)}, {"x": jnp.full(2, 0.5)})
    assert applied["x"].dtype == jnp.bfloat16


HYPERS = {
    "learning_rate": lambda value: optim.sgd(value),
    "momentum": lambda value: optim.sgd(0.1, value),
    "decay": lambda value: optim.rmsprop(0.1, decay=value),
    "eps": lambda value: optim.adam(eps=value),
    "b1": lambda value: optim.adam(b1=value),
    "b2": lambda value: optim.adam(b2=value),
    "weight_decay": lambda value: optim.adamw(weight_decay=value),
    "limit": lambda value: optim.clip_by_global_norm(value),
    "size": lambda value: optim.rprop(value),
    "shrink": lambda value: optim.rprop(shrink=value),
    "initial": lambda value: optim.adagrad(0.1, initial=value),
}


@pytest.mark.parametrize("name", HYPERS)
@pytest.mark.parametrize("value", ["1e-3", True, False, None, [0.1]])
def test_hyper_parameters_that_are_no_numbers_are_refused(name, value):
    with pytest.raises(TypeError, match=f"{name} must be a"):
        HYPERS[name](value)


@pytest.mark.parametrize("name", HYPERS)
@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_hyper_parameters_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must lie in \["):
        HYPERS[name](value)


@pytest.mark.parametrize("name", ["momentum", "decay", "b1", "b2"])
def test_decays_above_one_are_refused(name):
    with pytest.raises(ValueError, match="must lie in"):
        HYPERS[name](1.5)


@pytest.mark.parametrize("name", ["decay", "eps", "b1", "b2", "size", "shrink", "initial"])
def test_schedules_are_refused_where_a_plain_number_is_needed(name):
    with pytest.raises(TypeError, match="plain number"):
        HYPERS[name](optim.constant(0.1))


def test_numbers_of_numpy_are_numbers():
    wanted = once(optim.adam(0.5, b1=0.5), ONES, PARAMS)
    found = once(optim.adam(np.float32(0.5), b1=np.float32(0.5)), ONES, PARAMS)
    np.testing.assert_array_equal(found["dense"]["kernel"], wanted["dense"]["kernel"])


@pytest.mark.parametrize("optimizer", [*STATEFUL, optim.sgd(0.1), optim.rmsprop_momentum(0.1)])
def test_arrays_of_no_entries_pass(optimizer):
    params = {"kernel": jnp.ones((0, 3)), "bias": jnp.ones(3)}
    assert once(optimizer, params, params)["kernel"].shape == (0, 3)
    assert optimizer.update({}, optimizer.init({}), {})[0] == {}


@pytest.mark.parametrize("optimizer", [*STATEFUL, optim.sgd(0.1), optim.rmsprop_momentum(0.1), optim.adam(eps=0.0)])
def test_a_nan_is_seen_at_once_and_only_where_it_is(optimizer):
    updates = once(optimizer, {"kernel": jnp.asarray([jnp.nan, 1.0])}, {"kernel": jnp.ones(2)})
    assert np.isnan(updates["kernel"]).tolist() == [True, False]


@pytest.mark.parametrize("optimizer", [*STATEFUL, optim.rmsprop_momentum(0.1), optim.adam(eps=0.0)])
def test_zero_gradients_at_the_start_move_nothing(optimizer):
    updates = once(optimizer, {"kernel": jnp.zeros(2)}, {"kernel": jnp.ones(2)})
    np.testing.assert_array_equal(updates["kernel"], np.zeros(2))


def test_adams_correction_is_exact_in_float32():
    """1 - 0.999^step, taken naively in float32, is wrong by 1e-5 at the first steps."""
    params = {"kernel": jnp.ones(1)}
    state = optim.scale_by_adam(eps=0.0).init(params)
    for _ in range(3):
        updates, state = optim.scale_by_adam(eps=0.0).update(params, state)
        assert float(updates["kernel"][0]) == pytest.approx(1.0, abs=5e-7)


def test_moments_of_bfloat16_parameters_can_move():
    """In bfloat16 a mean with decay 0.999 would never fall: x * 0.999 rounds to x."""
    params = {"kernel": jnp.ones(1, jnp.bfloat16)}
    adam = optim.scale_by_adam()
    state = adam.update(params, adam.init(params))[1]
    before = float(state.square["kernel"][0])
    state = adam.update({"kernel": jnp.zeros(1, jnp.bfloat16)}, state)[1]
    assert float(state.square["kernel"][0]) == pytest.approx(0.999 * before, rel=1e-6)
