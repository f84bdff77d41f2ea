"""Power laws against SciPy and against the laws that were planted."""

import numpy as np
import pytest

from fdl.inspection import fit_power_law

SIZES = np.geomspace(1e4, 1e7, 7)


def test_a_line_of_logarithms_is_found_with_its_r_squared(agrees):
    stats = pytest.importorskip("scipy.stats")
    y = 8 * SIZES**-0.1 * np.exp(0.02 * np.sin(np.arange(7) * 2.0))
    law, want = fit_power_law(SIZES, y), stats.linregress(np.log(SIZES), np.log(y))
    found = (law.exponent, np.log(law.scale), law.r_squared)
    agrees.values(
        "inspection.fit_power_law", "scipy.stats.linregress", found, (-want.slope, want.intercept, want.rvalue**2)
    )
    assert law.floor == 0


def test_a_planted_floor_is_found_and_noise_is_fitted_as_by_scipy(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    law = fit_power_law(SIZES, 40 * SIZES**-0.3 + 1.4, floor=True)
    np.testing.assert_allclose(law[:3], (40, 0.3, 1.4), rtol=1e-2)
    assert law.r_squared > 1 - 1e-6
    np.testing.assert_allclose(law(SIZES), 40 * SIZES**-0.3 + 1.4, rtol=1e-4)
    y = (40 * SIZES**-0.3 + 1.4) * np.exp(0.005 * np.cos(np.arange(7) * 2.0))
    log_law = lambda x, scale, exponent, floor: np.log(np.exp(scale) * (x / 1e5) ** -exponent + floor)
    want = optimize.curve_fit(log_law, SIZES, np.log(y), (0.0, 0.3, 1.0))[0]
    agrees.values(
        "inspection.fit_power_law, floor",
        "scipy.optimize.curve_fit",
        np.log(fit_power_law(SIZES, y, floor=True)(SIZES)),
        log_law(SIZES, *want),
        most=1e-4,
    )


def test_what_has_no_logarithm_or_too_few_points_is_refused():
    with pytest.raises(ValueError, match="2 or more positive points"):
        fit_power_law([1, 2, 3], [1, 0, 1])
    with pytest.raises(ValueError, match="3 or more positive points"):
        fit_power_law([1, 2], [2, 1], floor=True)
