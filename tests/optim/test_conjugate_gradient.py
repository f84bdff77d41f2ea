"""Conjugate gradients: linear against SciPy and theory, nonlinear against a transcription and SciPy's end points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.optim.curvature.conjugate_gradient import advance, begin
from tests.optim.valleys import VALLEYS, for_scipy, path, rosenbrock, steps_until

RNG = np.random.default_rng(1)
ROOT = RNG.standard_normal((12, 12))
A = ROOT @ ROOT.T + 0.1 * np.eye(12)
B = RNG.standard_normal(12)


def solve(**options):
    with jax.enable_x64(True):
        start = options.pop("start", None)
        start = None if start is None else jnp.asarray(start)
        return jax.tree.map(
            np.asarray, optim.conjugate_gradient(lambda v: A @ v, jnp.asarray(B), start=start, **options)
        )


def test_a_positive_system_is_solved_in_as_many_steps_as_it_has_unknowns(agrees):
    # A well-conditioned one: rounding costs steps.
    with jax.enable_x64(True):
        M = np.eye(12) + A / np.linalg.norm(A, 2)
        end = optim.conjugate_gradient(lambda v: M @ v, jnp.asarray(B), tolerance=1e-13)
        assert end.steps <= 12
        agrees.values("optim.conjugate_gradient", "numpy.linalg.solve", end.x, np.linalg.solve(M, B))
        # Three different eigenvalues take three steps.
        D = np.array([1.0, 5.0, 5.0, 20.0, 20.0])
        assert optim.conjugate_gradient(lambda v: D * v, jnp.ones(5), tolerance=1e-12).steps == 3


@pytest.mark.parametrize("start", [None, np.cos(np.arange(12.0))], ids=["from 0", "warm"])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_every_iterate_is_that_of_scipy(start, preconditioned, agrees):
    linalg = pytest.importorskip("scipy.sparse.linalg")
    inverse = 1 / np.diag(A)
    M = np.diag(inverse) if preconditioned else None
    wanted = []
    linalg.cg(A, B, x0=start, rtol=0, maxiter=10, M=M, callback=lambda x: wanted.append(x.copy()))
    precondition = (lambda r: inverse * r) if preconditioned else None
    found = [solve(start=start, precondition=precondition, tolerance=0.0, max_steps=k).x for k in range(1, 11)]
    agrees.values(
        "optim.conjugate_gradient", "scipy.sparse.linalg.cg, every iterate", np.array(found), np.array(wanted)
    )


def test_it_stops_at_the_tolerance_and_not_before():
    limit = 1e-3 * np.linalg.norm(B)
    end = solve(tolerance=1e-3)
    before = solve(tolerance=0.0, max_steps=int(end.steps) - 1)
    assert np.linalg.norm(B - A @ end.x) <= limit * (1 + 1e-9)
    assert np.linalg.norm(B - A @ before.x) > limit
    np.testing.assert_allclose(end.residual, B - A @ end.x, atol=1e-10)


def test_directions_are_conjugate():
    with jax.enable_x64(True):
        M = np.eye(12) + A / np.linalg.norm(A, 2)
        matvec = lambda v: M @ v
        at, directions = begin(matvec, jnp.asarray(B)), []
        for _ in range(6):
            directions.append(np.asarray(at.direction) / np.linalg.norm(at.direction))
            at = advance(matvec, at)
    products = np.array(directions) @ M @ np.array(directions).T
    assert np.abs(products - np.diag(np.diag(products))).max() < 1e-8


def test_it_solves_trees_and_nothing_and_says_where_the_matrix_is_not_positive():
    b = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray(3.0)}
    end = optim.conjugate_gradient(lambda v: jax.tree.map(lambda x: 2 * x, v), b)
    assert (end.steps, bool(end.definite)) == (1, True)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y / 2, rtol=1e-6), end.x, b)
    still = optim.conjugate_gradient(lambda v: v, jnp.zeros(3))
    np.testing.assert_array_equal(still.x, np.zeros(3))
    saddle = optim.conjugate_gradient(lambda v: jnp.asarray([1.0, -1.0]) * v, jnp.asarray([2.0, 1.0]))
    assert not saddle.definite
    assert np.isfinite(saddle.x).all()


def transcription(variant, x, g, restart):
    """Nocedal & Wright algorithm 5.4 with equations 5.41, 5.44, 5.46: directions along a path."""
    p, since = -g[0], 1
    yield p
    for k in range(1, len(x)):
        y = g[k] - g[k - 1]
        if variant == "fr":
            beta = (g[k] @ g[k]) / (g[k - 1] @ g[k - 1])
        elif variant == "pr+":
            beta = max((g[k] @ y) / (g[k - 1] @ g[k - 1]), 0)
        else:
            beta = (g[k] @ y) / (p @ y)
        new = -g[k] + beta * p
        fresh = (restart is not None and since >= restart) or g[k] @ new >= 0
        p, since = (-g[k], 1) if fresh else (new, since + 1)
        yield p


@pytest.mark.parametrize("variant", ["fr", "pr+", "hs"])
@pytest.mark.parametrize("restart", [None, 4])
@pytest.mark.parametrize("name", ["rosenbrock", "logistic"])
def test_directions_are_those_of_the_book(variant, restart, name, agrees):
    x, _, g, _ = path(optim.nonlinear_conjugate_gradient(variant, restart=restart), *VALLEYS[name], 12)
    wanted = np.array(list(transcription(variant, x, g, restart)))
    transform = optim.scale_by_conjugate_gradient(variant, restart=restart)

    def step(state, g):
        update, state = transform.update({"x": g}, state)
        return state, update["x"]

    with jax.enable_x64(True):
        found = np.asarray(jax.lax.scan(step, transform.init({"x": jnp.asarray(x[0])}), jnp.asarray(g))[1])
    agrees.values(f"optim.scale_by_conjugate_gradient, {variant}", "NumPy, algorithm 5.4", found, -wanted)


@pytest.mark.parametrize("variant", ["fr", "pr+", "hs"])
@pytest.mark.parametrize("name", VALLEYS)
def test_the_end_is_that_of_scipy(variant, name, agrees):
    optimize = pytest.importorskip("scipy.optimize")
    f, start = VALLEYS[name]
    end = optimize.minimize(for_scipy(f), start, jac=True, method="CG", options={"gtol": 1e-9})
    rough = optimize.minimize(for_scipy(f), start, jac=True, method="CG", options={"gtol": 1e-5})
    restart = len(start) if variant == "fr" else None
    optimizer = optim.nonlinear_conjugate_gradient(variant, restart=restart, curvature=0.02)
    x, _, g, _ = path(optimizer, f, start, 300)
    agrees.values(f"optim.nonlinear_conjugate_gradient, {variant}", "scipy CG, minimiser", x[-1], end.x, most=1e-6)
    if variant != "fr":  # SciPy's is Polak & Ribière
        assert steps_until(g, 1e-5) <= 1.5 * rough.nit + 3


def test_a_hundred_dimensions_of_rosenbrock():
    _, values, _, _ = path(optim.nonlinear_conjugate_gradient(), rosenbrock, np.tile([-1.2, 1.0], 50), 1000)
    assert values.min() < 1e-8


def test_on_a_quadratic_with_near_exact_searches_all_variants_are_linear_cg():
    f, start = VALLEYS["quadratic"]
    ends = []
    for variant in ("fr", "pr+", "hs"):
        chained = optim.chain(
            optim.scale_by_conjugate_gradient(variant),
            optim.scale_by_learning_rate(1.0),
            optim.scale_by_zoom_line_search(curvature=1e-8, decrease=0.0, scaled=False),
        )
        ends.append(path(chained, f, start, 5)[0][1:])
    curvature, target = np.logspace(-2, 2, 10), np.linspace(-1, 1, 10)
    with jax.enable_x64(True):
        wanted = [
            np.asarray(
                optim.conjugate_gradient(
                    lambda v: curvature * v,
                    jnp.asarray(curvature * target),
                    start=jnp.asarray(start),
                    tolerance=0.0,
                    max_steps=k,
                ).x
            )
            for k in range(1, 6)
        ]
    for found in ends:
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)


def test_three_line_searches_per_batch_are_three_fresh_updates():
    f, start = VALLEYS["rosenbrock"]
    single, three = optim.nonlinear_conjugate_gradient(), optim.nonlinear_conjugate_gradient(line_searches=3)
    x, values, _, _ = path(three, f, start, 4)
    for k in range(4):  # memory does not outlive a batch
        alone, reached, _, _ = path(single, f, x[k], 3)
        np.testing.assert_allclose(x[k + 1], alone[3], rtol=1e-8)
        np.testing.assert_allclose(values[k + 1], reached[3], rtol=1e-8)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="variant must be"):
        optim.nonlinear_conjugate_gradient("pr")
    with pytest.raises(ValueError, match="restart must be"):
        optim.scale_by_conjugate_gradient(restart=0)
    with pytest.raises(ValueError, match="times must be a whole number"):
        optim.repeat(optim.sgd(0.1), 0)
