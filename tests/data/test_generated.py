"""Generated data sets hold what was planted in them."""

import jax.numpy as jnp
import numpy as np
import pytest

from fdl.data import rings, shapes, to_polar
from fdl.data.shapes import FACTORS, SHAPES, draw


def test_the_bayes_rule_of_rings_errs_as_often_as_labels_are_flipped():
    clean, noisy = rings(2000), rings(20_000, flip=0.2, seed=1)
    radius = np.hypot(*clean["x"].T)
    np.testing.assert_array_equal(radius > 1.25, clean["label"] == 1)
    assert clean["label"].sum() == 1000
    assert 0.499999 < radius.min() < radius.max() <= 2.00001
    wrong = np.mean((np.hypot(*noisy["x"].T) > 1.25) != noisy["label"])
    assert abs(wrong - 0.2) < 0.01  # 3.5 standard deviations
    np.testing.assert_array_equal(rings(2000)["x"], clean["x"])
    assert (rings(2000, seed=1)["x"] != clean["x"]).any()


def test_polar_coordinates_lead_back():
    x = rings(100)["x"]
    for points in (x, jnp.asarray(x), x.reshape(10, 10, 2)):
        polar = np.asarray(to_polar(points))
        back = polar[..., :1] * np.stack([np.cos(polar[..., 1]), np.sin(polar[..., 1])], -1)
        np.testing.assert_allclose(back, points, rtol=1e-5, atol=1e-6)


def test_factors_can_be_measured_on_the_pictures():
    examples = shapes(600, seed=3)
    image = examples["image"].astype(float)
    red, blue = image[..., 0].sum((1, 2)), image[..., 2].sum((1, 2))
    np.testing.assert_allclose(blue / (red + blue), examples["colour"], atol=0.01)
    ink = image[..., 1] / 51  # green is a fifth of the ink
    total = ink.sum((1, 2))
    for axis, name in ((2, "x"), (1, "y")):
        middle = (ink.sum(3 - axis) * np.arange(32)).sum(1) / total
        even = examples["shape"] != SHAPES.index("triangle")
        np.testing.assert_allclose(middle[even], examples[name][even], atol=0.15)
    disc = examples["shape"] == SHAPES.index("disc")
    radius, stroke = examples["scale"][disc], examples["stroke"][disc]
    np.testing.assert_allclose(total[disc], 2 * np.pi * (radius - stroke / 2) * stroke, rtol=0.05)
    square = examples["shape"] == SHAPES.index("square")
    side, stroke = np.sqrt(2) * examples["scale"][square], examples["stroke"][square]
    np.testing.assert_allclose(total[square], side**2 - (side - 2 * stroke) ** 2, rtol=0.05)


def test_a_triangle_has_three_corners_on_its_circle_and_a_flat_side_below():
    image = draw([2], [9.0], [16.0], [16.0], [0.0], [1.5])[0, ..., 0]
    rows, columns = np.nonzero(image > 100)
    assert (rows.min(), rows.max()) == (7, 20)  # 16 - 9, 16 + 9 / 2
    assert abs(np.ptp(columns) - 2 * 9 * np.cos(np.pi / 6)) < 2
    assert (image[20] > 100).sum() > 12
    assert (image[9] > 100).sum() < 5
    np.testing.assert_allclose(image[:, 1:16], image[:, 17:][:, ::-1], atol=1)  # the two halves are mirrored


def test_factors_are_drawn_independently_and_within_their_ranges():
    examples = shapes(3000, seed=0)
    columns = np.stack([examples[name] for name in ("shape", *FACTORS)])
    assert np.abs(np.corrcoef(columns) - np.eye(6)).max() < 0.08
    for name, (low, high) in FACTORS.items():
        assert low <= examples[name].min() < examples[name].max() <= high
    np.testing.assert_array_equal(np.unique(examples["shape"]), [0, 1, 2])
    np.testing.assert_array_equal(shapes(1500, seed=7)["image"], shapes(1500, seed=7)["image"])
    assert not examples["image"][:, [0, -1]].any()  # no shape is cut off


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="count must be even"):
        rings(3)
    with pytest.raises(ValueError, match=r"0 to 0\.5, got 0\.6"):
        rings(2, flip=0.6)
    with pytest.raises(ValueError, match="count must be at least 1"):
        shapes(0)
    with pytest.raises(ValueError, match="2 coordinates"):
        to_polar(np.zeros((2, 3)))
