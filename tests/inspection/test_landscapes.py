"""The zoo: what is said of each landscape is so, in float64."""

import functools
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.inspection import landscapes
from fdl.inspection.landscapes import zoo

every = pytest.mark.parametrize("landscape", zoo().values(), ids=zoo())


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def at(derivative, landscape, point):
    return np.asarray(jax.jit(derivative(landscape.function))(jnp.asarray(point, float)))


compiled = functools.cache(lambda landscape: jax.jit(landscape.function))


def value(landscape, point):
    return float(compiled(landscape)(jnp.asarray(point, float)))


@every
def test_start_and_minima_lie_in_the_box(landscape):
    low, high = np.array(landscape.box).T
    for point in (landscape.start, *landscape.minima):
        assert (low < point).all()
        assert (np.array(point) < high).all()
    assert landscape.dim == 2
    assert landscape.lesson.endswith(".")


@every
def test_gradients_vanish_at_the_minima_and_every_way_leads_up(landscape):
    for point in landscape.minima:
        np.testing.assert_allclose(at(jax.grad, landscape, point), 0, atol=1e-10)
        assert (np.linalg.eigvalsh(at(jax.hessian, landscape, point)) > 0).all()
    assert landscape.minima or landscape.kind == "monkey_saddle"


@every
def test_nothing_in_the_box_is_below_the_lowest_minimum(landscape):
    if landscape.minima:
        low, high = np.array(landscape.box).T
        points = np.random.default_rng(0).uniform(low, high, (10_000, 2))
        lowest = min(value(landscape, point) for point in landscape.minima)
        assert jax.vmap(landscape.function)(jnp.asarray(points)).min() > lowest


@every
def test_it_is_a_value(landscape):
    made = getattr(landscapes, landscape.kind)()
    assert made == landscape
    assert hash(made) == hash(landscape)
    assert pickle.loads(pickle.dumps(landscape)) == landscape
    assert jax.tree.leaves(landscape) == []


def test_it_prints_as_its_call():
    assert repr(landscapes.rosenbrock(5)) == "rosenbrock(dim=5)"
    assert landscapes.rosenbrock(5).dim == 5
    assert landscapes.rosenbrock(2) != landscapes.rosenbrock(5)


@pytest.mark.parametrize(
    ("landscape", "wanted"),
    [
        (landscapes.rosenbrock(), 0),
        (landscapes.rosenbrock(10), 0),
        (landscapes.beale(), 0),
        (landscapes.himmelblau(), 0),
        (landscapes.rastrigin(4), 0),
        (landscapes.saddle(), -0.25),
        (landscapes.plateau(), 0),
        (landscapes.cliff(), 1 / 8 - (1 - math.log(8) / 8)),
    ],
    ids=repr,
)
def test_the_minima_have_their_known_values(landscape, wanted):
    for point in landscape.minima:
        assert abs(value(landscape, point) - wanted) < 1e-12


def test_rosenbrock_is_that_of_scipy(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    x = np.random.default_rng(0).standard_normal(7)
    ours = landscapes.rosenbrock(7).function
    got = jax.jit(lambda x: (ours(x), jax.grad(ours)(x), jax.hessian(ours)(x)))(jnp.asarray(x))
    wanted = optimize.rosen(x), optimize.rosen_der(x), optimize.rosen_hess(x)
    agrees.values("inspection.landscapes.rosenbrock", "scipy.optimize.rosen", got, wanted)


def test_values_at_points_worked_out_by_hand():
    assert value(landscapes.rosenbrock(), (-1.2, 1.0)) == pytest.approx(24.2)
    assert value(landscapes.beale(), (0.0, 0.0)) == pytest.approx(1.5**2 + 2.25**2 + 2.625**2)
    assert value(landscapes.himmelblau(), (0.0, 0.0)) == pytest.approx(11**2 + 7**2)
    assert value(landscapes.rastrigin(3), (0.5, 0.5, 1.0)) == pytest.approx(2 * 20.25 + 1)


def test_a_valley_has_its_curvatures_whichever_way_it_lies():
    for angle in (0.0, 0.35, 2.0):
        hessian = at(jax.hessian, landscapes.valley(40.0, angle=angle), (0.3, -0.7))
        np.testing.assert_allclose(np.linalg.eigvalsh(hessian), [1, 40], rtol=1e-12)
    floor = np.array([math.cos(0.35), math.sin(0.35)])
    np.testing.assert_allclose(at(jax.hessian, landscapes.valley(), (0.0, 0.0)) @ floor, floor, rtol=1e-12)
    curved = at(jax.hessian, landscapes.quadratic((1.0, 2.0, 5.0), angle=0.5), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(np.linalg.eigvalsh(curved), [1, 2, 5], rtol=1e-12)


def test_the_saddle_curves_down_one_way_and_the_monkey_saddle_not_at_all():
    np.testing.assert_allclose(at(jax.grad, landscapes.saddle(), (0.0, 0.0)), 0)
    np.testing.assert_allclose(np.linalg.eigvalsh(at(jax.hessian, landscapes.saddle(), (0.0, 0.0))), [-1, 1])
    np.testing.assert_allclose(at(jax.grad, landscapes.beale(), (0.0, 1.0)), 0)
    assert (np.linalg.eigvalsh(at(jax.hessian, landscapes.beale(), (0.0, 1.0))) * [-1, 1] > 0).all()
    monkey = landscapes.monkey_saddle()
    np.testing.assert_allclose(at(jax.grad, monkey, (0.0, 0.0)), 0)
    np.testing.assert_allclose(at(jax.hessian, monkey, (0.0, 0.0)), 0)
    around = [value(monkey, (math.cos(a), math.sin(a))) for a in np.arange(6) * math.pi / 3]
    np.testing.assert_allclose(around, [1, -1, 1, -1, 1, -1])  # three ways up, three ways down


def test_walls_are_steep_and_plateaus_flat():
    assert np.linalg.norm(at(jax.grad, landscapes.cliff(), (2.0, 0.0))) > 2e4
    assert np.linalg.norm(at(jax.grad, landscapes.cliff(), landscapes.cliff().start)) < 2
    assert np.linalg.norm(at(jax.grad, landscapes.plateau(), landscapes.plateau().start)) < 1e-2


def test_every_dent_is_a_minimum_and_the_middle_one_the_lowest():
    row = landscapes.shallow_minima()
    heights = [value(row, point) for point in row.minima]
    assert len(heights) == 5
    assert heights[0] > heights[1] > heights[2] < heights[3] < heights[4]
    ridge = value(row, (-1.5, 0.0))
    assert max(heights[:2]) < ridge


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: landscapes.shallow_minima(0.01, 1.0), "no dents"),
        (lambda: landscapes.quadratic((1.0,)), "two numbers"),
        (lambda: landscapes.rosenbrock(1), "at least 2"),
        (lambda: landscapes.rastrigin(True), "whole number"),
        (lambda: landscapes.plateau(0.0), "width"),
    ],
)
def test_what_cannot_be_is_refused(make, error):
    with pytest.raises(ValueError, match=error):
        make()
