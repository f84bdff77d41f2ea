"""Hyper-parameters in the state: read, set without compiling again, swept by vmap."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim, train
from fdl.checks import TreeError

PARAMS = {"kernel": jnp.asarray([[1.0, -2.0], [0.5, 3.0]])}
STEERED = optim.hyper(optim.adamw(1e-3, weight_decay=1e-2), "learning_rate", "weight_decay")


def descend(optimizer, state, params=PARAMS, steps=4):
    for _ in range(steps):
        updates, state = optimizer.update(params, state, params)
        params = optim.apply_updates(params, updates)
    return params


def test_the_values_are_read_by_name(agrees):
    state = optim.chain(optim.clip_by_norm(1.0), STEERED).init(PARAMS)
    want = {"learning_rate": np.float32(1e-3), "weight_decay": np.float32(1e-2)}
    agrees.values("optim.hyper_values", "what was given", optim.hyper_values(state), want)
    assert optim.hyper_values(optim.hyper(optim.adam(), "learning_rate").init(PARAMS)).keys() == {"learning_rate"}
    assert optim.hyper_values(optim.adam().init(PARAMS)) == {}


def test_it_is_the_optimizer_with_these_numbers(agrees):
    plain = optim.adamw(3e-2, weight_decay=0.2)
    wanted = descend(plain, plain.init(PARAMS))
    state = optim.set_hyper(STEERED.init(PARAMS), learning_rate=3e-2, weight_decay=0.2)
    agrees.values("optim.set_hyper", "the optimizer made with it", descend(STEERED, state), wanted)
    agrees.values(
        "optim.hyper",
        "the optimizer made with it",
        descend(STEERED, STEERED.init(PARAMS)),
        descend(optim.adamw(1e-3, weight_decay=1e-2), optim.adamw().init(PARAMS)),
    )


def test_setting_compiles_nothing_again():
    step = jax.jit(chex.assert_max_traces(STEERED.update, n=1))
    _, state = step(PARAMS, STEERED.init(PARAMS), PARAMS)
    first, state = step(PARAMS, optim.set_hyper(state, learning_rate=1.0), PARAMS)
    second, _ = step(PARAMS, optim.set_hyper(state, learning_rate=np.float64(0.0)), PARAMS)
    assert float(jnp.abs(first["kernel"]).max()) > 0.5
    np.testing.assert_array_equal(second["kernel"], np.zeros((2, 2)))


def test_a_sweep_is_a_vmap_over_the_state():
    rates = jnp.asarray([1e-3, 1e-2, 0.3])
    run = lambda rate: descend(STEERED, optim.set_hyper(STEERED.init(PARAMS), learning_rate=rate))
    swept = jax.vmap(run)(rates)["kernel"]
    for i, rate in enumerate(rates):
        plain = optim.adamw(float(rate), weight_decay=1e-2)
        np.testing.assert_allclose(swept[i], descend(plain, plain.init(PARAMS))["kernel"], rtol=2e-6)


def test_a_whole_train_state_can_be_set():
    state = train.init_state(lambda key: (PARAMS, {}), STEERED)
    assert float(optim.hyper_values(optim.set_hyper(state, learning_rate=0.5))["learning_rate"]) == 0.5


def test_a_hyper_inside_a_hyper_is_found():
    guarded = optim.hyper(optim.skip_large(optim.hyper(optim.sgd(0.1), "learning_rate"), 5.0), "limit")
    state = optim.set_hyper(guarded.init(PARAMS), learning_rate=0.25, limit=9.0)
    assert {name: float(v) for name, v in optim.hyper_values(state).items()} == {"limit": 9.0, "learning_rate": 0.25}


def test_bad_input_is_refused():
    state = STEERED.init(PARAMS)
    with pytest.raises(
        TypeError, match=r"'b1' of scale_by_adam\(\) cannot live in the state: b1 must be a plain number"
    ):
        optim.hyper(optim.scale_by_adam(), "b1")
    with pytest.raises(TypeError, match="adamw has no 'b1'; it has learning_rate, weight_decay"):
        optim.hyper(optim.adamw(), "b1")
    with pytest.raises(TypeError, match=r"must be a number to live in the state, got cosine"):
        optim.hyper(optim.adamw(optim.cosine(1.0, 9)), "learning_rate")
    with pytest.raises(TypeError, match="does not know its constructor"):
        optim.hyper(optim.Transform(lambda params: (), lambda updates, state: (updates, state)), "learning_rate")
    with pytest.raises(TreeError, match="holds no 'rate'; it holds learning_rate, weight_decay"):
        optim.set_hyper(state, rate=0.1)
    with pytest.raises(TreeError, match="it holds none: see optim"):
        optim.set_hyper(optim.adam().init(PARAMS), learning_rate=0.1)
    with pytest.raises(ValueError, match="learning_rate must lie in"):
        optim.set_hyper(state, learning_rate=-0.1)
    with pytest.raises(TypeError, match="learning_rate must be a number"):
        optim.set_hyper(state, learning_rate="0.1")
    with pytest.raises(TypeError, match="learning_rate must be a number, got the schedule"):
        optim.set_hyper(state, learning_rate=optim.constant(0.1))
    with pytest.raises(TreeError, match="holds learning_rate, weight_decay more than once"):
        optim.hyper_values((state, state))
    with pytest.raises(TypeError, match="must be the HyperState"):
        STEERED.update(state, PARAMS, PARAMS)
