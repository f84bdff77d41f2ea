"""Mistakes that every transform answers for: wrong numbers, trees that do not fit, integers, NaN, empty arrays."""

import inspect
import types
import typing
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import DtypeError, TreeError
from tests.laws.test_transform_laws import CASES, assert_close, every, fresh, problem, step

REQUIRED = {
    "learning_rate": 0.1,
    "limit": 1.0,
    "weight_decay": 0.1,
    "step_size": 0.1,
    "times": 2,
    "inner": optim.sgd(0.1),
    "optimizer": optim.sgd(0.1),
    "transforms": {"**": optim.sgd(0.1)},
    "oracles": {"**": optim.sign_lmo()},
    "onto": optim.max_norm(1.0),
    "penalty": optim.soft_threshold(0.1),
    "where": "**",
    "update": lambda updates, params, step=None: updates,
    "function": jnp.negative,
    "factor": 1.0,
    "every": 2,
    "condition": lambda step: step < 3,
    "measures": {},
}
MAKERS = {
    name: inspect.signature(getattr(optim, name)).parameters
    for name in optim.__all__
    if inspect.isfunction(getattr(optim, name))
    and inspect.signature(getattr(optim, name)).return_annotation is optim.Transform
}
SIGNED = {("scale_by", "factor"), ("polyak_sgd", "f_star"), ("momo", "lower_bound"), ("momo_adam", "lower_bound")}
BELOW_ONE = {"momentum", "b1", "b2", "b3", "decay", "probability", "shrink", "alpha, lookahead", "grow, low"}


def numbers_of(name):
    """The parameters that hold a number, or a schedule of one."""
    for parameter in MAKERS[name].values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        union = typing.get_origin(parameter.annotation) in (typing.Union, types.UnionType)
        kinds = typing.get_args(parameter.annotation) if union else (parameter.annotation,)
        if (float in kinds or int in kinds) and Sequence[int] not in kinds:
            yield parameter.name, int in kinds and float not in kinds, type(None) in kinds


def make(name, **changed):
    needed = {
        parameter.name: REQUIRED[parameter.name]
        for parameter in MAKERS[name].values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    given = needed | changed
    alone = [given.pop(p.name) for p in MAKERS[name].values() if p.kind is p.POSITIONAL_ONLY]
    return getattr(optim, name)(*alone, **given)


@pytest.mark.parametrize("name", MAKERS)
def test_a_wrong_number_is_refused_by_its_name(name):
    make(name)
    for parameter, whole, optional in numbers_of(name):
        for no_number in ("0.1", [0.1], True, *([] if optional else [None])):
            with pytest.raises((TypeError, ValueError), match=f"^{parameter} must be"):
                make(name, **{parameter: no_number})
        wrong = [float("nan"), *([] if (name, parameter) in SIGNED else [-1])]
        wrong += [2.5] if whole else []
        wrong += [1.5] if parameter in BELOW_ONE else []
        for number in wrong:
            with pytest.raises(ValueError, match=f"^{parameter} must (lie in|be a whole number)"):
                make(name, **{parameter: number})


def traced(case, grads, params, state):
    """The update as shapes alone: mistakes must be found while tracing."""
    _, extras = problem(params)
    update = lambda grads: case.optimizer.update(grads, state, params, **(extras | {"grad": grads}))
    return jax.eval_shape(update, grads)


@every
def test_gradients_of_another_form_are_refused_by_path(case):
    params = fresh()
    grads, _ = problem(params)
    kernel, bias, state = grads["dense"]["kernel"], grads["dense"]["bias"], case.optimizer.init(params)
    with pytest.raises(TreeError, match="dense/bias: missing, expected float32"):
        traced(case, {"dense": {"kernel": kernel}}, params, state)
    with pytest.raises(TreeError, match=r"dense/bias: expected float32\[2\], got float32\[3\]"):
        traced(case, {"dense": {"kernel": kernel, "bias": jnp.ones(3)}}, params, state)
    with pytest.raises(TreeError, match=r"head: unexpected float32\[2\]"):
        traced(case, {"dense": {"kernel": kernel, "bias": bias}, "head": jnp.ones(2)}, params, state)


@every
def test_integers_are_refused_by_path(case):
    params = {"dense": {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2, jnp.int32)}}
    with pytest.raises(DtypeError, match=r"parameter 'dense/bias' is int32\[2\]; only floating-point arrays"):
        jax.eval_shape(lambda: case.optimizer.init(params))


@every
def test_swapped_arguments_are_refused(case):
    params = fresh()
    grads, extras = problem(params)
    state = case.optimizer.init(params)
    if jax.tree.leaves(state):
        with pytest.raises((TypeError, TreeError), match=r"opt_state must be|do not fit the parameters"):
            case.optimizer.update(grads, params, state, **extras)


# The two estimate the Hessian by noise that is drawn leaf by leaf.
DRAWN = {"adahessian", "sophia"}


@pytest.mark.parametrize("name", CASES)
def test_an_array_of_no_entries_changes_nothing(name):
    optimizer, params = CASES[name].optimizer, fresh()
    more = params | {"empty": {"kernel": jnp.zeros((0, 3))}}
    _, extras = problem(params)
    for half in ("value_fn", "predict_fn"):
        extras[half] = lambda more, smaller=extras[half]: smaller({"dense": more["dense"]})
    extras["grad"] = jax.grad(extras["value_fn"])(more)
    updates, state = optimizer.update(extras["grad"], optimizer.init(more), more, **extras)
    found = optim.apply_updates(more, updates)
    assert found["empty"]["kernel"].shape == (0, 3)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves((found, state)))
    if name not in DRAWN:
        alone, _ = step(optimizer, params, optimizer.init(params))
        assert_close(found["dense"], alone["dense"], rtol=1e-5, atol=1e-6)


@every
def test_a_nan_never_becomes_a_step(case):
    """What a NaN makes of an update is NaN, or 0 where a step is left out; the entries beside it may move."""
    params = fresh()
    grads, extras = problem(params)
    grads["dense"]["kernel"] = grads["dense"]["kernel"].at[1, 0].set(jnp.nan)
    state = case.optimizer.init(params)
    updates, _ = case.optimizer.update(grads, state, params, **(extras | {"grad": grads}))
    update = np.asarray(updates["dense"]["kernel"])[1, 0]
    assert np.isnan(update) or update == 0
