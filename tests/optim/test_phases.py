"""Schedules against those of torch at every step, and against their formulas."""

import math
import pickle
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

STEPS = 60


def path(schedule, dtype="float64"):
    with jax.enable_x64(dtype == "float64"):
        return np.asarray(jax.vmap(schedule)(jnp.arange(STEPS, dtype=jnp.int32)))


def torchs(make, base=0.3):
    torch = pytest.importorskip("torch")
    group = torch.optim.SGD([torch.zeros(1, requires_grad=True)], base, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule, seen = make(torch.optim.lr_scheduler, group), []
        for _ in range(STEPS):
            seen.append(group.param_groups[0]["lr"])
            group.step()
            if getattr(schedule, "last_epoch", 0) + 1 < getattr(schedule, "total_steps", math.inf):
                schedule.step()
    return np.asarray(seen)


def two(s, g):
    return s.SequentialLR(g, [s.LinearLR(g, 0.1, 1.0, 5), s.ExponentialLR(g, 0.9)], [5])


def chained(s, g):
    return s.ChainedScheduler([s.ConstantLR(g, 0.5, 7), s.ExponentialLR(g, 0.97), s.StepLR(g, 11, 0.5)])


TORCH = {
    "linear": (optim.linear(0.03, 0.3, 20), lambda s, g: s.LinearLR(g, 0.1, 1.0, 20)),
    "polynomial": (optim.polynomial(0.3, 0.0, 20, 2.5), lambda s, g: s.PolynomialLR(g, 20, 2.5)),
    "exponential": (optim.exponential(0.3, 0.93), lambda s, g: s.ExponentialLR(g, 0.93)),
    "cosine": (optim.cosine(0.3, 59, 0.01), lambda s, g: s.CosineAnnealingLR(g, 59, 0.01)),
    "step_decay": (optim.step_decay(0.3, 0.5, 7), lambda s, g: s.StepLR(g, 7, 0.5)),
    "piecewise": (optim.piecewise([0.3, 0.03, 0.003], [5, 30]), lambda s, g: s.MultiStepLR(g, [5, 30], 0.1)),
    "constant": (optim.constant(0.3), lambda s, g: s.ConstantLR(g, 1.0, 9)),
    "warmup": (optim.warmup(optim.exponential(0.3, 0.9), 5, 0.03), two),
    "join": (optim.join([optim.linear(0.03, 0.3, 5), optim.exponential(0.3, 0.9)], [5]), two),
    "product": (
        optim.product(optim.piecewise([0.15, 0.3], [7]), optim.exponential(1.0, 0.97), optim.step_decay(1.0, 0.5, 11)),
        chained,
    ),
    "one_cycle": (optim.one_cycle(0.5, 59, 17), lambda s, g: s.OneCycleLR(g, 0.5, 60, pct_start=0.3)),
    "one_cycle, straight": (
        optim.one_cycle(0.5, 39, 9, 0.05, 0.005, straight=True),
        lambda s, g: s.OneCycleLR(
            g, 0.5, 40, pct_start=0.25, anneal_strategy="linear", div_factor=10.0, final_div_factor=10.0
        ),
    ),
    "warm_restarts": (optim.warm_restarts(0.3, 7, 0.01), lambda s, g: s.CosineAnnealingWarmRestarts(g, 7, 1, 0.01)),
    "warm_restarts, growing": (
        optim.warm_restarts(0.3, 4, grow=3),
        lambda s, g: s.CosineAnnealingWarmRestarts(g, 4, 3),
    ),
    "triangular": (optim.triangular(0.01, 0.3, 4, 7), lambda s, g: s.CyclicLR(g, 0.01, 0.3, 4, 7)),
    "triangular, shrinking": (
        optim.triangular(0.01, 0.3, 5, shrink=0.5),
        lambda s, g: s.CyclicLR(g, 0.01, 0.3, 5, mode="triangular2"),
    ),
}


def wsd(shape):
    def value(k):
        return 0.3 * min(k / 10, 1) if k < 40 else 0.01 + 0.29 * (1 - shape(min((k - 40) / 15, 1)))

    return value


CLOSED = {
    "noam": (optim.noam(512, 8, 2.0), lambda k: 2 * 512**-0.5 * min((k + 1) ** -0.5, (k + 1) * 8**-1.5)),
    "tanh_decay": (optim.tanh_decay(0.3, 40, 0.01), lambda k: 0.01 + 0.145 * (1 - math.tanh(-6 + 9 * min(k / 40, 1)))),
    "inverse_sqrt": (optim.inverse_sqrt(0.3, 6), lambda k: 0.3 * min((k + 1) / 6, math.sqrt(6 / (k + 1)))),
    "inverse_time": (optim.inverse_time(0.3, 5.0, 0.7), lambda k: 0.3 / (1 + k / 5) ** 0.7),
    "interpolate": (
        optim.interpolate([0.1, 0.5, 0.2], [5, 10, 40]),
        lambda k: float(np.interp(k, [5, 10, 40], [0.1, 0.5, 0.2])),
    ),
    "warmup_stable_decay": (optim.warmup_stable_decay(0.3, 55, 10, 15, 0.01), wsd(lambda p: p)),
    "warmup_stable_decay, sqrt": (optim.warmup_stable_decay(0.3, 55, 10, 15, 0.01, sqrt=True), wsd(math.sqrt)),
    "warmup_cosine": (
        optim.warmup_cosine(0.3, 40, 6, 0.1),
        lambda k: 0.3 * k / 6 if k < 6 else 0.1 + 0.1 * (1 + math.cos(math.pi * min((k - 6) / 34, 1))),
    ),
}
ALL = TORCH | CLOSED
MADE = pytest.mark.parametrize("name", ALL)


@pytest.mark.parametrize("name", TORCH)
def test_every_step_is_torchs(agrees, name):
    schedule, make = TORCH[name]
    for dtype in ("float64", "float32"):
        agrees.values(f"optim.{name}", "torch", path(schedule, dtype), torchs(make))


@pytest.mark.parametrize("name", CLOSED)
def test_every_step_is_the_formula(agrees, name):
    schedule, formula = CLOSED[name]
    wanted = np.asarray([formula(k) for k in range(STEPS)])
    for dtype in ("float64", "float32"):
        agrees.values(f"optim.{name}", "closed form", path(schedule, dtype), wanted)


STARTS = {"constant": 0.3, "warmup_stable_decay": 0.0, "one_cycle": 0.02, "warm_restarts": 0.3, "triangular": 0.01}


@pytest.mark.parametrize("name", STARTS)
def test_the_first_update_sees_step_0(name):
    assert float(ALL[name][0](jnp.int32(0))) == pytest.approx(STARTS[name], rel=1e-6)
    rate = optim.scale_by_learning_rate(ALL[name][0])
    first, _ = rate.update({"x": jnp.ones(1)}, rate.init({"x": jnp.ones(1)}))
    assert float(first["x"][0]) == pytest.approx(-STARTS[name], rel=1e-6)


@MADE
def test_schedules_are_values(name):
    schedule = ALL[name][0]
    assert eval(repr(schedule), vars(optim)) == schedule
    assert hash(eval(repr(schedule), vars(optim))) == hash(schedule)
    assert pickle.loads(pickle.dumps(schedule)) == schedule


@MADE
def test_values_are_the_same_one_by_one_and_without_end(name):
    schedule = ALL[name][0]
    assert [float(schedule(k)) for k in (0, 13, 59)] == pytest.approx(path(schedule, "float32")[[0, 13, 59]], rel=1e-5)
    assert math.isfinite(float(jax.jit(schedule)(jnp.int32(2**31 - 1))))


def test_restarts_are_counted_in_whole_numbers():
    """Cycles of 1, 2, 4, ... steps begin at 2^n - 1: a logarithm in float32 would miss some of them."""
    schedule = optim.warm_restarts(1.0, 1, grow=2)
    for n in range(1, 31):
        assert float(schedule(jnp.int32(2**n - 1))) == 1.0
        assert float(schedule(jnp.int32(2**n - 2))) < 0.6 or n == 1


TRUE = [
    optim.join([optim.cosine(0.1, 9), optim.inverse_time(0.1, power=0.7)], [9]),
    optim.product(optim.constant(0.5), optim.inverse_time(0.1)),
    optim.product(optim.inverse_time(0.1, power=0.4), optim.inverse_sqrt(0.1, 5)),
    optim.warmup(optim.join([optim.constant(1.0), optim.inverse_time(1.0, 9.0, 0.9)], [4]), 5),
]
FALSE = [
    optim.constant(0.1),
    optim.cosine(0.1, 10),
    optim.step_decay(0.1, 0.5, 10),
    optim.noam(64, 10),
    optim.inverse_time(0.0),
    optim.inverse_time(0.1, power=0.5),
    optim.inverse_time(0.1, power=1.01),
    optim.product(optim.constant(0.0), optim.inverse_time(0.1)),
    optim.product(optim.inverse_time(0.1), optim.inverse_time(0.1)),
    optim.product(),
    lambda step: 1 / (1 + step),
    0.1,
]


@pytest.mark.parametrize(("schedule", "want"), [(s, True) for s in TRUE] + [(s, False) for s in FALSE])
def test_robbins_and_monro_ask_for_a_power_above_one_half_and_up_to_one(agrees, schedule, want):
    found = np.float32(optim.satisfies_robbins_monro(schedule))
    agrees.values("optim.satisfies_robbins_monro", "closed form", found, np.float32(want))


def test_the_plot_shows_the_schedule(agrees):
    text = optim.plot_schedule(optim.linear(0.0, 1.0, 10), 11, width=11, height=3)
    assert text.splitlines() == ["1 |        ***", "  |   *****", "0 |***", "  0    step 10"]
    flat = optim.plot_schedule(optim.constant(0.5), 100, width=5, height=2)
    assert flat.splitlines()[:2] == ["0.5 |", "0.5 |*****"]
    agrees.values("optim.plot_schedule", "characters drawn", np.float32(text.count("*")), np.float32(11))


def test_a_drawing_holds_the_values(agrees, tmp_path):
    pytest.importorskip("matplotlib")
    falling, rising = optim.cosine(0.3, 40), optim.linear(0.0, 0.2, 9)
    axes = optim.draw_schedule({"falling": falling, "rising": rising}, STEPS)
    for line, schedule in zip(axes.lines, (falling, rising), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(STEPS))
        agrees.values("optim.draw_schedule", "the schedule", line.get_ydata(), path(schedule, "float32"))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["falling", "rising"]
    assert optim.draw_schedule(optim.constant(1.0), 10**6, axes) is axes
    assert axes.lines[-1].get_xdata()[[0, -1]].tolist() == [0, 10**6 - 1]
    assert len(axes.lines[-1].get_xdata()) == 1000
    axes.figure.savefig(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").stat().st_size > 1000


BAD = [
    lambda: optim.tanh_decay(1.0, 9, low=1.0, high=0.0),
    lambda: optim.draw_schedule(optim.constant(1.0), 0),
    lambda: optim.polynomial(1.0, 0.0, 0),
    lambda: optim.polynomial(1.0, 0.0, 9, -1.0),
    lambda: optim.interpolate([1.0], [1, 2]),
    lambda: optim.interpolate([], []),
    lambda: optim.interpolate([1.0, 2.0], [2, 2]),
    lambda: optim.noam(0, 10),
    lambda: optim.join([optim.constant(1.0)], [3]),
    lambda: optim.join([optim.constant(1.0)] * 3, [3, 3]),
    lambda: optim.join([optim.constant(1.0)] * 2, [0]),
    lambda: optim.one_cycle(1.0, 10, 10),
    lambda: optim.one_cycle(-1.0, 10, 5),
    lambda: optim.warm_restarts(1.0, 0),
    lambda: optim.warm_restarts(1.0, 5, grow=0),
    lambda: optim.triangular(0.1, 1.0, 0),
    lambda: optim.triangular(0.1, 1.0, 5, shrink=1.5),
    lambda: optim.warmup_stable_decay(1.0, 20, 10, 10),
    lambda: optim.plot_schedule(optim.constant(1.0), 0),
]


@pytest.mark.parametrize("make", BAD)
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must|separate|needs its step"):
        make()


def test_a_number_is_no_schedule():
    for make in (lambda: optim.product(optim.constant(1.0), 0.5), lambda: optim.join([0.1, 0.2], [5])):
        with pytest.raises(TypeError, match=r"must be a schedule, got .*; a number is constant\("):
            make()
    with pytest.raises(TypeError, match="plain number"):
        optim.warm_restarts("0.1", 5)
