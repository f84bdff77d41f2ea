import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

FORMULAS = {
    "constant": (optim.constant(0.3), lambda k: 0.3),
    "linear": (optim.linear(0.5, 0.9, 20), lambda k: 0.5 + 0.4 * min(k / 20, 1)),
    "cosine": (optim.cosine(0.3, 20, 0.1), lambda k: 0.1 + 0.1 * (1 + math.cos(math.pi * min(k / 20, 1)))),
    "step_decay": (optim.step_decay(0.3, 0.5, 7), lambda k: 0.3 * 0.5 ** (k // 7)),
    "piecewise": (optim.piecewise((0.3, 0.03, 0.003), (5, 9)), lambda k: 0.3 if k < 5 else 0.03 if k < 9 else 0.003),
    "exponential": (optim.exponential(0.3, 0.9, 4), lambda k: 0.3 * 0.9 ** (k / 4)),
    "inverse_time": (optim.inverse_time(0.3, 5.0, 0.7), lambda k: 0.3 / (1 + k / 5) ** 0.7),
    "inverse_sqrt": (optim.inverse_sqrt(0.3, 6), lambda k: 0.3 * min((k + 1) / 6, math.sqrt(6 / (k + 1)))),
    "warmup": (
        optim.warmup(optim.exponential(0.3, 0.9), 6, start=0.1),
        lambda k: 0.1 + 0.2 * k / 6 if k < 6 else 0.3 * 0.9 ** (k - 6),
    ),
    "warmup_cosine": (
        optim.warmup_cosine(0.3, 20, 6, end=0.1),
        lambda k: 0.3 * k / 6 if k < 6 else 0.1 + 0.1 * (1 + math.cos(math.pi * min((k - 6) / 14, 1))),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_the_formula_at_every_step(name):
    schedule, formula = FORMULAS[name]
    wanted = [formula(k) for k in range(40)]
    found = jax.vmap(schedule)(jnp.arange(40, dtype=jnp.int32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)
    assert [float(schedule(k)) for k in (0, 6, 39)] == pytest.approx([wanted[k] for k in (0, 6, 39)], 1e-5, 1e-7)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_float64_where_that_is_on(name):
    schedule, formula = FORMULAS[name]
    with jax.enable_x64(True):
        assert float(jax.jit(schedule)(jnp.int32(11))) == pytest.approx(formula(11), rel=1e-14)


@pytest.mark.parametrize("name", FORMULAS)
def test_schedules_are_values(name):
    schedule = FORMULAS[name][0]
    assert eval(repr(schedule), vars(optim)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule


def test_the_end_value_holds():
    for schedule in (optim.cosine(0.3, 20, 0.1), optim.warmup_cosine(0.3, 20, 5, 0.1), optim.linear(0.3, 0.1, 20)):
        assert [float(schedule(k)) for k in (20, 21, 2**31 - 1)] == pytest.approx([0.1] * 3)


def test_steps_beyond_the_integers_of_float32():
    """2^24 + 1 is no float32: what is counted in steps stays exact, what is smooth stays close."""
    k = 2**24 + 1
    assert float(optim.step_decay(1.0, 0.5, k)(jnp.int32(k - 1))) == 1.0
    assert float(optim.step_decay(1.0, 0.5, k)(jnp.int32(k))) == 0.5
    assert float(optim.piecewise((1.0, 0.1), (k,))(jnp.int32(k - 1))) == 1.0
    assert float(optim.piecewise((1.0, 0.5), (k,))(jnp.int32(k))) == 0.5
    for schedule in (optim.cosine(1.0, 2**30), optim.exponential(1.0, 0.5, 2**28), optim.warmup_cosine(1.0, 2**30, 9)):
        with jax.enable_x64(True):
            wanted = float(schedule(jnp.int32(10**9)))
        assert float(schedule(jnp.int32(10**9))) == pytest.approx(wanted, rel=1e-4)


def test_the_first_update_sees_step_0():
    seen = optim.scale_by_learning_rate(optim.piecewise((5.0, 7.0), (1,)))
    first, state = seen.update({"x": jnp.ones(1)}, seen.init({"x": jnp.ones(1)}))
    second, state = seen.update({"x": jnp.ones(1)}, state)
    assert [float(first["x"][0]), float(second["x"][0]), int(state.step)] == [-5.0, -7.0, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.cosine("1e-3", 10),
        lambda: optim.constant(True),
        lambda: optim.triangular(0.1, 0.3, 5, shrink=jnp.ones(())),
        lambda: optim.exponential(lambda step: 1.0, 0.9),
    ],
)
def test_values_that_are_no_numbers_are_refused(make):
    with pytest.raises(TypeError, match="must be a plain number"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.cosine(-1.0, 10),
        lambda: optim.cosine(1.0, 0),
        lambda: optim.cosine(1.0, 10.5),
        lambda: optim.step_decay(1.0, -0.5, 10),
        lambda: optim.inverse_time(1.0, 0.0),
        lambda: optim.warmup(optim.constant(1.0), 0),
        lambda: optim.warmup_cosine(1.0, 10, 10),
        lambda: optim.piecewise((1.0, 0.1), ()),
        lambda: optim.piecewise((1.0, 0.1, 0.01), (5, 3)),
        lambda: optim.constant(math.nan),
    ],
)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must|separate"):
        make()
