"""Trajectories against the methods by hand, and what is drawn of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import ShapeError
from fdl.inspection.landscapes import (
    Trajectory,
    bowl,
    cliff,
    draw,
    plateau,
    quadratic,
    rosenbrock,
    saddle,
    save_picture,
    sweep,
    trajectories,
    trajectory,
    valley,
)
from fdl.inspection.landscapes.draw import visible

NARROW = quadratic((1.0, 10.0))


def points(*args, **kwargs):
    with jax.enable_x64(True):
        return np.asarray(trajectory(*args, **kwargs).points)


def by_hand(rule, start, steps, *state):
    """The points of rule(x, *state) -> (x, *state)."""
    path = [np.array(start)]
    for _ in range(steps):
        x, *state = rule(path[-1], *state)
        path.append(x)
    return np.stack(path)


CURVATURE = np.array([1.0, 10.0])


def test_gradient_descent_multiplies_by_one_minus_rate_times_eigenvalue(agrees):
    got = points(optim.sgd(0.15), NARROW, 50)
    wanted = np.array(NARROW.start) * (1 - 0.15 * CURVATURE) ** np.arange(51)[:, None]
    agrees.values("inspection.landscapes.trajectory, gradient descent", "closed form", got, wanted)


def test_it_diverges_exactly_above_two_over_the_largest_eigenvalue():
    below, above = (np.abs(points(optim.sgd(rate), NARROW, 400)[-1, 1]) for rate in (0.1999, 0.2001))
    assert below < NARROW.start[1] < above


def test_it_leaves_a_saddle_at_the_rate_of_its_curvature():
    height = points(optim.sgd(0.1), saddle(), 30, start=(0.0, 1e-6))[:, 1]
    np.testing.assert_allclose(height[1:] / height[:-1], 1.1, rtol=1e-9)


def test_the_time_to_leave_a_saddle_is_the_logarithm_of_the_start_over_its_curvature():
    heights = np.array([1e-2, 1e-5, 1e-8])
    for curvature in (0.5, 2.0):
        start = np.stack([np.ones(3), heights], -1)
        path = points(optim.sgd(0.01), quadratic((1.0, -curvature)), int(2000 / curvature), start=start)
        steps = np.argmax(np.abs(path[..., 1]) >= 1, axis=1)
        np.testing.assert_allclose(steps * 0.01 * curvature / np.log(1 / heights), 1, atol=0.05)


@pytest.mark.parametrize(
    "optimizer", [optim.momentum(0.02, 0.9), optim.nesterov(0.02, 0.9), optim.nesterov(0.02, lambda step: 0.9)]
)
def test_momentum_and_nesterov_are_at_their_own_point(agrees, optimizer):
    ahead = 0.9 if "nesterov" in repr(optimizer) else 0.0

    def rule(x, v):
        v = 0.9 * v - 0.02 * CURVATURE * (x + ahead * v)
        return x + v, v

    name = f"inspection.landscapes.trajectory, {optimizer.call.kind}"
    wanted = by_hand(rule, NARROW.start, 40, np.zeros(2))
    agrees.values(name, "Goodfellow et al., by hand", points(optimizer, NARROW, 40), wanted)


def test_schedule_free_is_at_its_average(agrees):
    def rule(x, z, k):
        z = z - 0.1 * CURVATURE * (0.1 * z + 0.9 * x)
        return x + (z - x) / k, z, k + 1

    wanted = by_hand(rule, NARROW.start, 40, np.array(NARROW.start), 1)
    got = points(optim.schedule_free_sgd(0.1, 0.9), NARROW, 40)
    agrees.values("inspection.landscapes.trajectory, schedule-free", "the paper, by hand", got, wanted)


def test_an_average_in_the_chain_is_what_counts():
    plain = points(optim.sgd(0.15), NARROW, 20)
    averaged = points(optim.chain(optim.sgd(0.15), optim.swa()), NARROW, 20)
    np.testing.assert_allclose(averaged[-1], plain[1:].mean(0), rtol=1e-12)


def test_fista_is_at_its_result_and_not_beyond():
    penalty = optim.soft_threshold(0.5)
    path = points(optim.proximal_gradient(0.1, penalty, accelerate=True), NARROW, 60)
    assert path[-1, 1] == 0
    plain = points(optim.proximal_gradient(0.1, penalty), NARROW, 2)
    np.testing.assert_allclose(path[1], plain[1])


# They need the loss, the loss as a function, a matrix, a pattern of kernels.
KINDS = {
    "momo": optim.momo(0.02),
    "lbfgs": optim.lbfgs(),
    "sam": optim.sam(optim.sgd(0.001), 0.01),
    "muon": optim.muon(0.05, rest=None),
    "soap": optim.soap(0.1),
    "lamb": optim.lamb(0.01, where="**/kernel"),
}


def test_every_kind_of_optimizer_goes_down():
    found = trajectories(KINDS, rosenbrock(), 40)
    assert found.keys() == KINDS.keys()
    for name, path in found.items():
        assert path.points.shape == (41, 2), name
        np.testing.assert_array_equal(path.points[0], jnp.array(rosenbrock().start), name)
        assert path.values[-1] < path.values[0] / 2, name
    np.testing.assert_allclose(found["lbfgs"].points[-1], 1, atol=1e-3)


def test_values_are_those_of_the_points_and_more_dimensions_work():
    steep = rosenbrock(5)
    path = trajectory(optim.adam(0.05), steep, 10)
    assert path.points.shape == (11, 5)
    np.testing.assert_allclose(path.values, [steep.function(x) for x in path.points], rtol=1e-6)


def test_many_starts_and_many_rates_are_each_as_alone():
    starts = np.array([[1.0, 2.0], [-0.5, 0.3], [0.0, 0.0]])
    many = trajectory(optim.adam(0.1), rosenbrock(), 15, start=starts)
    assert many.points.shape == (3, 16, 2)
    assert many.values.shape == (3, 16)
    alone = trajectory(optim.adam(0.1), rosenbrock(), 15, start=starts[1])
    np.testing.assert_allclose(many.points[1], alone.points, rtol=1e-5)
    swept = sweep(optim.adam, rosenbrock(), [0.01, 0.1], 15)
    assert swept.points.shape == (2, 16, 2)
    np.testing.assert_allclose(swept.points[1], trajectory(optim.adam(0.1), rosenbrock(), 15).points, rtol=1e-5)


def test_no_steps_is_the_start_and_nonsense_is_refused():
    assert trajectory(optim.sgd(0.1), bowl(), 0).points.shape == (1, 2)
    with pytest.raises(ValueError, match="whole number"):
        trajectory(optim.sgd(0.1), bowl(), -1)
    with pytest.raises(ShapeError, match="start"):
        trajectory(optim.sgd(0.1), bowl(), 1, start=(1.0, 2.0, 3.0))


def test_what_leaves_the_box_is_cut_at_its_edge():
    (left, right), (bottom, top) = bowl().box
    path = np.array([[0.0, 0.0], [right + 1, (right + 1) / 2], [0.0, 0.0]])
    seen = visible(bowl(), path)
    np.testing.assert_allclose(seen.points, [[0, 0], [right, right / 2]])
    assert seen.note == "leaves at step 1"
    inside = visible(bowl(), path[:1])
    assert (len(inside.points), inside.note) == (1, "")
    assert visible(bowl(), [[0, 0], [left, bottom], [np.nan, 0]]).note == "not finite at step 2"
    assert visible(bowl(), [[0, top + 1], [0, 0]]).note == "starts outside"
    with_infinity = visible(bowl(), [[0, 0], [np.inf, 0]])
    assert (len(with_infinity.points), with_infinity.note) == (1, "not finite at step 1")


def test_a_diverging_trajectory_says_so_in_the_legend(tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    found = trajectories({"good": optim.sgd(0.02), "wild": optim.sgd(0.2)}, valley(), 100)
    assert not np.isfinite(found["wild"].points).all()
    draw(valley(), found, axes)
    good, wild = (text.get_text() for text in axes.get_legend().get_texts())
    assert good == "good"
    assert wild.startswith("wild (leaves at step ")


def test_pictures_have_their_size_and_are_the_same_each_time(tmp_path):
    image = pytest.importorskip("matplotlib.image")
    path = {"sgd": trajectory(optim.sgd(0.05), plateau(), 20)}
    for name in ("one", "two"):
        save_picture(tmp_path / f"{name}.png", plateau(), path, title="a plateau", size=(320, 240))
    assert image.imread(tmp_path / "one.png").shape[:2] == (240, 320)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 30_000


def test_only_two_dimensions_and_one_start_are_drawn():
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    with pytest.raises(ShapeError, match="two dimensions"):
        draw(rosenbrock(3), {}, axes)
    with pytest.raises(ShapeError, match="one start"):
        draw(cliff(), {"many": Trajectory(np.zeros((2, 3, 2)), np.zeros((2, 3)))}, axes)
