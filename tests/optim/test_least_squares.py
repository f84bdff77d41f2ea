"""Levenberg-Marquardt against SciPy's MINPACK and the normal equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import DtypeError

T = np.linspace(0, 3, 25)
Y = 2.5 * np.exp(-1.3 * T) + 0.5 + 0.02 * np.cos(9 * T)


def decay(p):
    return p["size"] * jnp.exp(-p["rate"] * jnp.asarray(T)) + p["floor"] - jnp.asarray(Y)


def rosenbrock(p):
    x, y = p["x"]
    return {"valley": 10 * (y - x**2), "floor": 1 - x}


def powell(p):
    """Powell's singular function: the Jacobian loses rank at the minimum, 0."""
    a, b, c, d = p["x"]
    return jnp.stack([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


CASES = {
    "decay": (decay, {"size": np.array(1.0), "rate": np.array(1.0), "floor": np.array(0.0)}),
    "rosenbrock": (rosenbrock, {"x": np.array([-1.2, 1.0])}),
}


def solve(residual, params, **options):
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, params)
        return jax.tree.map(np.asarray, jax.jit(lambda p: optim.levenberg_marquardt(residual, p, **options))(params))


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_end_is_that_of_scipy(name, scaled, agrees):
    optimize = pytest.importorskip("scipy.optimize")
    residual, start = CASES[name]
    with jax.enable_x64(True):
        flat, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(jnp.asarray, start))
        of = jax.jit(lambda x: jax.flatten_util.ravel_pytree(residual(unravel(x)))[0])
        fun = lambda x: np.asarray(of(jnp.asarray(x)))
        jacobian = jax.jit(jax.jacfwd(of))
        jac = lambda x: np.asarray(jacobian(jnp.asarray(x)))
        theirs = optimize.least_squares(fun, np.asarray(flat), jac, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
        wanted = jax.tree.map(np.asarray, unravel(jnp.asarray(theirs.x)))
    end = solve(residual, start, scaled=scaled, tolerance=1e-12)
    assert end.converged
    assert end.steps <= 2 * theirs.nfev + 5
    what = f"optim.levenberg_marquardt, {'scaled' if scaled else 'unscaled'}"
    agrees.values(what, "scipy least_squares lm", end.params, wanted, most=1e-7)
    np.testing.assert_allclose(end.cost, theirs.cost, rtol=1e-9, atol=1e-20)


def test_a_linear_problem_is_solved_at_once(agrees):
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((9, 4)), rng.standard_normal(9)
    end = solve(lambda p: A @ p["x"] - b, {"x": np.zeros(4)}, damping=1e-12)
    assert end.steps <= 2
    agrees.values("optim.levenberg_marquardt", "numpy.linalg.lstsq", end.params["x"], np.linalg.lstsq(A, b)[0])


def test_a_jacobian_without_full_rank_does_no_harm():
    end = solve(powell, {"x": np.array([3.0, -1, 0, 1])}, max_steps=200)
    assert end.cost < 1e-16
    # A parameter that does nothing stays where it is.
    idle = solve(lambda p: p["x"] - 1, {"x": np.zeros(2), "y": np.ones(3)})
    np.testing.assert_allclose(idle.params["x"], 1, rtol=1e-6)
    np.testing.assert_array_equal(idle.params["y"], np.ones(3))


def test_scaling_makes_the_path_independent_of_units():
    units = np.array([1e4, 1e-4])
    other = lambda p: rosenbrock({"x": p["x"] * jnp.asarray(units)})
    a = solve(rosenbrock, {"x": np.array([-1.2, 1.0])}, max_steps=7)
    b = solve(other, {"x": np.array([-1.2, 1.0]) / units}, max_steps=7)
    np.testing.assert_allclose(a.params["x"], b.params["x"] * units, rtol=1e-6)


def test_the_types_of_the_parameters_are_kept_and_steps_are_limited():
    end = optim.levenberg_marquardt(lambda p: p["x"] ** 2 - 2, {"x": jnp.ones(2)}, max_steps=3)
    assert end.params["x"].dtype == jnp.float32
    assert end.steps == 3
    np.testing.assert_allclose(end.params["x"], 2**0.5, rtol=1e-2)
    cliff = optim.levenberg_marquardt(lambda p: jnp.log(p), jnp.asarray([5.0]))  # the first step leaves the domain
    np.testing.assert_allclose(cliff.params, 1, rtol=1e-4)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="damping must lie in"):
        optim.levenberg_marquardt(lambda p: p, jnp.ones(2), damping=-1.0)
    with pytest.raises(DtypeError, match="only floating-point"):
        optim.levenberg_marquardt(lambda p: p, jnp.ones(2, jnp.int32))
