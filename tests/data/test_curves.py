"""Strokes go through their points, and the same seed draws the same ones."""

import numpy as np
import pytest

from fdl import data


def test_a_stroke_goes_through_its_three_points():
    train_set, test_set = data.curves(30, 5, seed=1)
    assert train_set["image"].shape == (30, 28, 28, 1)
    assert test_set["image"].dtype == np.float32
    for image, points in zip(train_set["image"], train_set["points"]):
        rows, columns = np.rint(points).astype(int).T
        # At most half a pixel off along each axis, so exp(-(½² + ½²) / 2 · 0.7²) of the ink.
        assert (image[rows, columns, 0] >= np.exp(-0.5 / (2 * 0.7**2)) - 1e-6).all()
    assert 0 <= train_set["image"].min() <= train_set["image"].max() <= 1
    assert 0.02 < train_set["image"].mean() < 0.2


def test_the_seed_decides():
    again, other = data.curves(30, 5, seed=1), data.curves(30, 5, seed=2)
    np.testing.assert_array_equal(data.curves(30, 5, seed=1).test["image"], again.test["image"])
    assert (again.test["image"] != other.test["image"]).any()
    assert (again.test["points"] != again.train["points"][:5]).any()


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 0}, {"width": 0.0}])
def test_what_cannot_be_drawn(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        data.curves(**{"train": 3, "test": 3} | wrong)
