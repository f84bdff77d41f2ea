"""Intervals, McNemar's test, temperatures and ensembles against SciPy; that intervals hold what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import metrics
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
CASES = [(0, 1), (1, 1), (0, 30), (30, 30), (1, 2), (17, 40), (9923, 10_000), (3, 10_000)]


def test_wilson_is_scipys(agrees):
    stats = pytest.importorskip("scipy.stats")
    for level in (0.5, 0.95, 0.999):
        want = np.array([stats.binomtest(k, n).proportion_ci(level, method="wilson") for k, n in CASES])
        found = metrics.wilson_interval(*np.array(CASES).T, level)
        agrees.values("metrics.wilson_interval", "scipy.stats.binomtest", np.stack(found, -1), want)
    assert metrics.wilson_interval(0, 30).low == 0
    assert metrics.wilson_interval(30, 30).high == 1
    assert isinstance(metrics.wilson_interval(3, 30).low, float)


def test_the_bootstrap_is_scipys_draw_for_draw(agrees):
    stats = pytest.importorskip("scipy.stats")
    values = RNG.gamma(1.0, 1.0, 40)
    for statistic in (np.mean, np.median):
        how = {"n_resamples": 500, "method": "percentile", "confidence_level": 0.9, "vectorized": False}
        want = stats.bootstrap((values,), statistic, rng=np.random.default_rng(7), **how).confidence_interval
        found = metrics.bootstrap_interval(values, statistic, level=0.9, draws=500, seed=7)
        agrees.values("metrics.bootstrap_interval", "scipy.stats.bootstrap", found, tuple(want))


def test_the_bootstrap_takes_rows_and_so_keeps_pairs_together():
    rows = RNG.standard_normal((50, 1)) + np.array([0.0, 1.0])  # the second is the first and 1, pair by pair
    interval = metrics.bootstrap_interval(rows, lambda drawn: (drawn[:, 1] - drawn[:, 0]).mean(), draws=200)
    np.testing.assert_allclose(interval, 1.0)


def test_intervals_at_95_percent_hold_the_truth_in_93_to_97_of_100_sets():
    sets = RNG.binomial(200, 0.9, 2000)
    low, high = metrics.wilson_interval(sets, 200)
    assert 0.93 <= np.mean((low <= 0.9) & (high >= 0.9)) <= 0.97
    found = [metrics.bootstrap_interval(RNG.normal(3.0, 2.0, 60), draws=200, seed=i) for i in range(400)]
    assert 0.92 <= np.mean([low <= 3.0 <= high for low, high in found]) <= 0.97


@pytest.mark.parametrize(("b", "c"), [(0, 0), (5, 5), (1, 9), (30, 12), (140, 100)])
def test_mcnemar_is_the_exact_binomial_test(agrees, b, c):
    stats = pytest.importorskip("scipy.stats")
    first, second = np.ones(b + c + 40, bool), np.ones(b + c + 40, bool)
    second[:b], first[b : b + c] = False, False
    first[-7:], second[-7:] = False, False
    found = metrics.mcnemar(first, second)
    assert (found.only_first, found.only_second) == (b, c)
    want = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    agrees.values("metrics.mcnemar", "scipy.stats.binomtest", found.p_value, want)


def calibrated(temperature, n=20_000):
    """Logits whose labels were drawn from softmax(logits / temperature)."""
    logits = temperature * RNG.standard_normal((n, 4)).astype("f") * 2
    labels = (logits / temperature + RNG.gumbel(size=(n, 4))).argmax(-1).astype(np.int32)
    return logits, labels


def test_the_temperature_is_the_minimum_and_mends_the_calibration(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    special = pytest.importorskip("scipy.special")
    logits, labels = calibrated(3.0)
    wide = logits.astype("d")

    def loss(temperature):
        scaled = wide / temperature
        return np.mean(special.logsumexp(scaled, -1) - np.take_along_axis(scaled, labels[:, None], -1)[:, 0])

    want = optimize.minimize_scalar(loss, bounds=(0.1, 20), method="bounded", options={"xatol": 1e-10}).x
    found = metrics.fit_temperature(logits, labels)
    agrees.error(
        "metrics.fit_temperature", "scipy.optimize.minimize_scalar", "float64", abs(found / want - 1), most=1e-6
    )
    assert found == pytest.approx(3.0, rel=0.05)
    error = metrics.expected_calibration_error()
    assert error(logits / np.float32(found), labels) < 0.02 < 0.1 < error(logits, labels)


def test_an_ensemble_is_the_mean_of_probabilities(agrees):
    special = pytest.importorskip("scipy.special")
    for dtype in ("float32", "float64"):
        with jax.enable_x64(dtype == "float64"):
            logits = (5 * RNG.standard_normal((3, 7, 4))).astype(dtype)
            want = np.log(special.softmax(logits.astype("d"), -1).mean(0)).astype(dtype)
            agrees.values("metrics.ensemble_logits", "scipy.special.softmax", metrics.ensemble_logits(logits), want)


def test_bad_input_is_refused():
    for successes, trials in ((-1, 5), (6, 5), (0, 0), (np.nan, 5)):
        with pytest.raises(ValueError, match="successes must lie in"):
            metrics.wilson_interval(successes, trials)
    with pytest.raises(ValueError, match="level must lie between"):
        metrics.wilson_interval(1, 5, 95)
    with pytest.raises(ShapeError, match="at least 2 values"):
        metrics.bootstrap_interval([1.0])
    with pytest.raises(ShapeError, match=r"bool \(n,\)"):
        metrics.mcnemar(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ShapeError, match=r"bool \(n,\)"):
        metrics.mcnemar(np.ones(3), np.ones(3))
    right = jnp.eye(3)
    with pytest.raises(ValueError, match="no temperature"):
        metrics.fit_temperature(right, jnp.arange(3))
    with pytest.raises(ValueError, match="every label must be a class"):
        metrics.fit_temperature(right, jnp.array([0, 1, -1]))
    with pytest.raises(ShapeError, match="logits must have shape"):
        metrics.ensemble_logits(jnp.ones(3))
