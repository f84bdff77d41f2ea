"""Line searches: the conditions hold at the step, exact steps where they are known, and failures are said."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from tests.optim.valleys import VALLEYS, path


def search(kind, f, x, direction, **options):
    with jax.enable_x64(True):
        params, direction = {"x": jnp.asarray(x, float)}, {"x": jnp.asarray(direction, float)}
        value, grad = jax.value_and_grad(f)(params)
        slope = jnp.sum(grad["x"] * direction["x"])
        result = jax.jit(lambda p, d, v, s: kind(f, p, d, v, s, **options))(params, direction, value, slope)
        return jax.tree.map(np.asarray, result), float(value), float(slope)


def at(f, x, direction):
    """Loss and slope along the direction, of a step."""
    phi = jax.value_and_grad(lambda t: f({"x": jnp.asarray(x, float) + t * jnp.asarray(direction, float)}))

    def measure(t):
        with jax.enable_x64(True):
            return tuple(map(float, phi(jnp.asarray(float(t)))))

    return measure


def steepest(name):
    f, start = VALLEYS[name]
    with jax.enable_x64(True):
        return f, start, -np.asarray(jax.grad(f)({"x": jnp.asarray(start)})["x"])


def test_backtracking_takes_the_first_step_that_falls_enough(agrees):
    # On x² from 1 along -2 with t: (1 - 2 t)² <= 1 - 4 c t holds from t <= 1 - c on.
    parabola = lambda params: jnp.sum(params["x"] ** 2)
    for initial, decrease, wanted in [(8.0, 1e-4, 0.5), (0.9, 1e-4, 0.9), (0.9, 0.2, 0.45), (3.0, 0.5, 0.375)]:
        found, _, _ = search(optim.backtracking, parabola, [1.0], [-2.0], initial=initial, decrease=decrease)
        agrees.values("optim.backtracking", "closed form", found.step_size, np.asarray(wanted))
        agrees.values("optim.backtracking", "closed form", found.value, np.asarray((1 - 2 * wanted) ** 2))
        assert found.found
        assert found.evaluations == round(math.log2(initial / wanted)) + 1


def test_the_cubic_finds_the_minimum_of_a_parabola_exactly(agrees):
    f = lambda params: jnp.sum(jnp.asarray([1.0, 9.0]) * (params["x"] - 1) ** 2)
    for initial in (1e-3, 1.0, 100.0):
        found, _, slope = search(
            optim.strong_wolfe, f, [0.0, 0.0], [1.0, 2.0], initial=initial, curvature=1e-9, decrease=0
        )
        # The minimum of (t - 1)² + 9 (2 t - 1)² is at 19 / 37.
        agrees.values("optim.strong_wolfe", "minimum of a parabola", found.step_size, np.asarray(19 / 37), most=1e-9)
        assert slope < 0


@pytest.mark.parametrize("name", VALLEYS)
@pytest.mark.parametrize("curvature", [0.9, 0.1])
@pytest.mark.parametrize("initial", [1e-6, 1.0, 1e4])
def test_the_strong_wolfe_conditions_hold(name, curvature, initial):
    f, x, direction = steepest(name)
    found, value, slope = search(optim.strong_wolfe, f, x, direction, curvature=curvature, initial=initial)
    reached, slope_there = at(f, x, direction)(found.step_size)
    assert found.found
    assert found.evaluations <= 20
    assert reached <= value + 1e-4 * found.step_size * slope
    assert abs(slope_there) <= curvature * abs(slope)
    np.testing.assert_allclose(found.value, reached, rtol=1e-12)


def test_it_takes_no_more_losses_than_scipy():
    optimize = pytest.importorskip("scipy.optimize")
    ours = theirs = 0
    for name in VALLEYS:
        f, x, direction = steepest(name)
        measure = at(f, np.zeros_like(x), np.ones_like(x))  # compiled once per shape, not used
        del measure
        found, _, _ = search(optim.strong_wolfe, f, x, direction, curvature=0.1)
        with jax.enable_x64(True):
            value = lambda x, f=f: float(f({"x": jnp.asarray(x)}))
            grad = lambda x, f=f: np.asarray(jax.grad(f)({"x": jnp.asarray(x)})["x"])
            result = optimize.line_search(value, grad, x, direction, c2=0.1)
        ours, theirs = ours + int(found.evaluations), theirs + result[1]
    assert ours <= 1.5 * theirs


def test_a_direction_uphill_fails_at_once():
    f, x, direction = steepest("logistic")
    for kind in (optim.backtracking, optim.strong_wolfe):
        found, value, _ = search(kind, f, x, -direction)
        assert not found.found
        assert (found.step_size, found.value, found.evaluations) == (0, value, 0)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.nan])
def test_a_loss_that_is_not_finite_counts_as_too_far(bad):
    cliff = lambda params: jnp.where(params["x"][0] > 0.01, bad, jnp.sum((params["x"] - 1) ** 2))
    for kind in (optim.backtracking, optim.strong_wolfe):
        found, value, _ = search(kind, cliff, [0.0], [1.0])
        assert 0 < found.step_size <= 0.01
        assert found.value < value


def test_a_search_without_end_gives_the_lowest_point_it_accepted():
    falling = lambda params: -jnp.sum(params["x"])
    found, _, _ = search(optim.strong_wolfe, falling, [0.0], [1.0], max_steps=5)
    assert not found.found
    assert found.evaluations == 5
    np.testing.assert_allclose(found.value, -found.step_size)
    assert found.step_size >= 4**4
    nowhere = lambda params: jnp.where(params["x"][0] > 0, 7.0, 0.0) - params["x"][0]
    for kind in (optim.backtracking, optim.strong_wolfe):
        found, value, _ = search(kind, nowhere, [0.0], [1.0], max_steps=8)
        assert not found.found
        assert (found.step_size, found.value) == (0, value)


def test_a_search_as_transform_counts_what_it_costs():
    chained = optim.chain(optim.sgd(1.0), optim.scale_by_backtracking_line_search(8.0))
    # On x² from 1 along -2 the first search tries 8, 4, 2, 1, 1/2, the next begins at 1; at the minimum none is needed.
    _, values, _, (_, state) = path(chained, lambda params: jnp.sum(params["x"] ** 2), np.ones(1), 1)
    np.testing.assert_array_equal(values, [1.0, 0.0])
    assert (state.evaluations, state.failures, state.step_size) == (5, 1, 0.0)


def test_the_next_search_begins_where_the_last_one_promises_as_much():
    chained = optim.chain(optim.sgd(1.0), optim.scale_by_zoom_line_search(scaled=False, curvature=0.1))
    _, values, gradients, (_, state) = path(chained, *VALLEYS["logistic"], 10)
    assert (np.diff(values) < 0).all()
    assert state.failures == 0
    assert state.evaluations <= 3 * 11
    np.testing.assert_allclose(state.slope, -np.sum(gradients[-1] ** 2), rtol=1e-12)


def test_searches_map_over_a_batch_of_problems():
    scales = jnp.asarray([0.1, 1.0, 30.0])

    def end(scale, kind):
        f = lambda x: scale * jnp.sum((x - 1) ** 2)
        value, grad = jax.value_and_grad(f)(jnp.zeros(2))
        return kind(f, jnp.zeros(2), -grad, value, -jnp.sum(grad**2)).step_size

    for kind in (optim.backtracking, optim.strong_wolfe):
        np.testing.assert_allclose(jax.vmap(lambda s, kind=kind: end(s, kind))(scales), [end(s, kind) for s in scales])


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="grow must lie in"):
        optim.scale_by_backtracking_line_search(grow=0.5)
    with pytest.raises(ValueError, match="curvature must lie in"):
        optim.scale_by_zoom_line_search(decrease=0.5, curvature=0.1)
    search = optim.scale_by_zoom_line_search()
    with pytest.raises(TypeError, match="as the step of make_train_step does"):
        search.update(jnp.ones(2), search.init(jnp.ones(2)), jnp.ones(2))
