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


SCHEDULES = {
    "constant": lambda a, b: optim.constant(a),
    "linear": lambda a, b: optim.linear(a, b, 20),
    "polynomial": lambda a, b: optim.polynomial(a, b, 20, 1 + b),
    "cosine": lambda a, b: optim.cosine(a, 20, b),
    "tanh_decay": lambda a, b: optim.tanh_decay(a, 20, b),
    "step_decay": lambda a, b: optim.step_decay(a, b, 7),
    "piecewise": lambda a, b: optim.piecewise((a, b, 0.5), (5, 9)),
    "interpolate": lambda a, b: optim.interpolate((a, b, 0.5), (5, 9, 13)),
    "exponential": lambda a, b: optim.exponential(a, b, 4),
    "inverse_time": lambda a, b: optim.inverse_time(a, 5 * b, 0.7 + a),
    "inverse_sqrt": lambda a, b: optim.inverse_sqrt(a, 6),
    "noam": lambda a, b: optim.noam(16, 6, a),
    "warmup": lambda a, b: optim.warmup(optim.exponential(a, 0.9), 6, start=b),
    "warmup_cosine": lambda a, b: optim.warmup_cosine(a, 20, 6, end=b),
    "warmup_stable_decay": lambda a, b: optim.warmup_stable_decay(a, 20, 6, 5, b, sqrt=True),
    "one_cycle": lambda a, b: optim.one_cycle(a, 20, 6),
    "warm_restarts": lambda a, b: optim.warm_restarts(a, 4, b, grow=2),
    "triangular": lambda a, b: optim.triangular(b, a, 4, 7, shrink=0.5),
    "product": lambda a, b: optim.product(optim.constant(a), optim.linear(1.0, b, 9)),
    "join": lambda a, b: optim.join([optim.constant(a), optim.cosine(a, 9, b)], [5]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_numbers_of_every_schedule_may_be_arrays_and_are_swept_by_vmap(name):
    make, steps = SCHEDULES[name], jnp.arange(0, 30, 3, dtype=jnp.int32)
    a, b = [0.3, 0.02, 1.5], [0.1, 0.9, 0.0]
    found = jax.vmap(lambda a, b: jax.vmap(make(a, b))(steps))(jnp.asarray(a), jnp.asarray(b))
    wanted = [jax.vmap(make(*each))(steps) for each in zip(a, b) if name != "inverse_time" or each[1]]
    np.testing.assert_allclose(found[: len(wanted)], wanted, rtol=2e-6, atol=1e-7)


@optim.hyper
def peaked(peak=0.3, weight_decay=1e-2):
    return optim.adamw(optim.warmup_cosine(peak, 9, 2, end=peak / 10), weight_decay=weight_decay)


def test_a_function_of_its_numbers_moves_them_into_the_state_wherever_they_stand(agrees):
    at = lambda peak, decay: optim.adamw(optim.warmup_cosine(peak, 9, 2, end=peak / 10), weight_decay=decay)
    state = peaked.init(PARAMS)
    assert optim.hyper_values(state) == {"peak": jnp.float32(0.3), "weight_decay": jnp.float32(1e-2)}
    assert repr(peaked) == "hyper(peaked)"
    plain = at(0.3, 1e-2)
    agrees.values(
        "optim.hyper", "the optimizer of these numbers", descend(peaked, state), descend(plain, plain.init(PARAMS))
    )
    step = jax.jit(chex.assert_max_traces(peaked.update, n=1))
    for peak in (0.1, 0.7):
        params, own = PARAMS, optim.set_hyper(peaked.init(PARAMS), peak=peak)
        for _ in range(4):
            updates, own = step(params, own, params)
            params = optim.apply_updates(params, updates)
        plain = at(peak, 1e-2)
        np.testing.assert_allclose(params["kernel"], descend(plain, plain.init(PARAMS))["kernel"], rtol=2e-6)
    only = optim.hyper(lambda peak=0.5, steps=9: optim.sgd(optim.cosine(peak, steps)), "peak")
    assert optim.hyper_values(only.init(PARAMS)) == {"peak": jnp.float32(0.5)}


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
    with pytest.raises(TypeError, match=r"got cosine\(.*\); for a number in a schedule give hyper a function"):
        optim.hyper(optim.adamw(optim.cosine(1.0, 9)), "learning_rate")
    with pytest.raises(TypeError, match=r"'steps' of slow cannot live in the state: steps must be a whole number"):

        @optim.hyper
        def slow(peak=1.0, steps=9):
            return optim.sgd(optim.cosine(peak, steps))

    with pytest.raises(TypeError, match=r"'peak' of <lambda> must be a number to live in the state, got no default"):
        optim.hyper(lambda peak: optim.sgd(peak))
    with pytest.raises(TypeError, match="<lambda> has no 'top'; it has peak"):
        optim.hyper(lambda peak=1.0: optim.sgd(peak), "top")
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
