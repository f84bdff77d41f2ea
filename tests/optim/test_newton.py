"""Newton-CG and Hessian-free: exact Newton steps where they are known, SciPy's ends, and the rules of the papers."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.optim.curvature.newton import _marks
from tests.optim.valleys import VALLEYS, for_scipy, path, steps_until


def test_with_enough_products_the_direction_is_newtons(agrees):
    f, start = VALLEYS["logistic"]
    with jax.enable_x64(True):
        # Near the minimum the tolerance is small; five products solve five unknowns.
        x = path(optim.bfgs(), f, start, 12)[0][-1]
        params = {"x": jnp.asarray(x)}
        value, grad = jax.value_and_grad(f)(params)
        extras = {"value": value, "grad": grad, "value_fn": f}
        found, _ = optim.scale_by_newton_cg(200).update(grad, (), params, **extras)
        H = jax.hessian(lambda x: f({"x": x}))(params["x"])
        residual = np.linalg.norm(H @ found["x"] - grad["x"])
        size = np.linalg.norm(grad["x"])
        assert residual <= min(0.5, size**0.5) * size
        curvature = jnp.linspace(1.0, 2.0, 5)
        bowl = lambda params: 0.5 * jnp.sum(curvature * params["x"] ** 2)
        near = {"x": 1e-12 * jnp.arange(1.0, 6)}
        value, grad = jax.value_and_grad(bowl)(near)
        found, _ = optim.scale_by_newton_cg(200).update(grad, (), near, value=value, grad=grad, value_fn=bowl)
        agrees.values("optim.scale_by_newton_cg", "gradient / curvature", found["x"], near["x"], most=1e-5)


@pytest.mark.parametrize("name", VALLEYS)
def test_newton_cg_ends_where_scipy_ends_at_no_higher_price(name, agrees):
    optimize = pytest.importorskip("scipy.optimize")
    f, start = VALLEYS[name]
    end = optimize.minimize(for_scipy(f), start, jac=True, method="BFGS", options={"gtol": 1e-9})
    with jax.enable_x64(True):
        H = jax.jit(jax.hessian(lambda x: f({"x": x})))
        hess = lambda x: np.asarray(H(jnp.asarray(x)))
    rough = optimize.minimize(for_scipy(f), start, jac=True, hess=lambda x: _in64(hess, x), method="Newton-CG")
    x, values, g, _ = path(optim.newton_cg(), f, start, 150)
    assert steps_until(g, 1e-5) <= 1.5 * rough.nit + 3
    assert (np.diff(values) <= 1e-15).all()
    agrees.values("optim.newton_cg", "scipy, minimiser", x[-1], end.x, most=1e-6)


def _in64(function, x):
    with jax.enable_x64(True):
        return function(x)


def test_the_end_is_faster_than_linear():
    _, _, g, _ = path(optim.newton_cg(), *VALLEYS["logistic"], 15)
    size = np.linalg.norm(g, axis=1)
    last = size[(size > 1e-13) & (size < 1e-2)]
    assert (last[1:] < 20 * last[:-1] ** 1.5).all()


def test_negative_curvature_leads_downhill_and_off_the_saddle():
    monkey = lambda params: jnp.sum(jnp.asarray([1.0, -1.0]) * params["x"] ** 2) + jnp.sum(params["x"] ** 4)
    for start in ([1.0, 1e-3], [1e-3, 0.5], [0.0, 1e-6]):
        x, _, _, _ = path(optim.newton_cg(), monkey, np.array(start), 40)
        np.testing.assert_allclose(np.abs(x[-1]), [0, 0.5**0.5], atol=1e-6)


@pytest.mark.parametrize("name", VALLEYS)
def test_hessian_free_ends_at_the_minimum(name, agrees):
    optimize = pytest.importorskip("scipy.optimize")
    f, start = VALLEYS[name]
    end = optimize.minimize(for_scipy(f), start, jac=True, method="BFGS", options={"gtol": 1e-9})
    x, values, _, state = path(optim.hessian_free(), f, start, 150)
    assert (np.diff(values) <= 1e-15).all()
    assert 0 < state.damping < 2
    agrees.values("optim.hessian_free", "scipy, minimiser", x[-1], end.x, most=1e-6)


def test_damping_follows_the_reduction_ratio():
    f, start = VALLEYS["quadratic"]
    # The loss is the quadratic without the damping: it falls by more than was promised.
    _, _, _, state = path(optim.hessian_free(damping=8.0), f, start, 0)
    assert state.ratio > 0.75
    np.testing.assert_allclose(state.damping, 8 * 2 / 3)
    wall = lambda params: jnp.sum(params["x"] ** 2) + 100 * jnp.sum(jax.nn.softplus(50 * (jnp.abs(params["x"]) - 2)))
    uphill = lambda params: jnp.sum(jnp.sqrt(params["x"] ** 2 + 1e-4)) + 0 * wall(params)
    # Near the corner the quadratic promises more than there is.
    _, _, _, state = path(optim.hessian_free(damping=1e-3), uphill, np.array([3.0]), 0)
    fixed = path(optim.hessian_free(damping=1e-3, adapt=False), uphill, np.array([3.0]), 0)[3]
    assert state.ratio < 0.25
    np.testing.assert_allclose(state.damping, 1.5e-3)
    np.testing.assert_allclose(fixed.damping, 1e-3)


def test_a_loss_in_two_parts_gives_the_gauss_newton_matrix():
    # Residuals are linear in the outputs, the loss is their square: with no damping to speak of one step is enough
    # where the outputs are linear in the parameters.
    A, b = np.random.default_rng(0).standard_normal((8, 3)), np.arange(8.0)
    predict = lambda params: jnp.asarray(A) @ jnp.sinh(params["x"])
    loss = lambda outputs: 0.5 * jnp.sum((outputs - jnp.asarray(b)) ** 2)
    f = lambda params: loss(predict(params))
    with jax.enable_x64(True):
        params = {"x": jnp.asarray([0.5, -1.0, 0.2])}
        value, grad = jax.value_and_grad(f)(params)
        transform = optim.hessian_free(damping=1e-6, progress=0.0, warm=0.0)
        extras = {"value": value, "grad": grad, "value_fn": f, "predict_fn": predict, "output_loss_fn": loss}
        _, state = transform.update(grad, transform.init(params), params, **extras)
        J = A * np.cosh(np.asarray(params["x"]))
        wanted = -np.linalg.solve(J.T @ J + 1e-6 * np.eye(3), np.asarray(grad["x"]))
        np.testing.assert_allclose(state.direction["x"], wanted, rtol=1e-6)


def badly_scaled(n=200, dim=40):
    """A logistic regression whose features differ by 1e4 in size, in two halves."""
    rng = np.random.default_rng(0)
    size = np.logspace(-2, 2, dim)
    x = rng.standard_normal((n, dim)) * size
    label = (x @ (rng.standard_normal(dim) / size) + rng.standard_normal(n) > 0).astype(float)
    predict = lambda params: jnp.asarray(x) @ params["x"]
    loss = lambda score: jnp.mean(jax.nn.softplus(score) - jnp.asarray(label) * score)
    return predict, loss, x, label


def products_and_loss(optimizer, steps):
    predict, loss, _, _ = badly_scaled()
    f = lambda params: loss(predict(params))

    def step(carry, _):
        params, state = carry
        value, grad = jax.value_and_grad(f)(params)
        extras = {"value": value, "grad": grad, "value_fn": f, "predict_fn": predict, "output_loss_fn": loss}
        updates, state = optimizer.update(grad, state, params, **extras)
        return (optim.apply_updates(params, updates), state), (state.products, f(params))

    with jax.enable_x64(True):
        params = {"x": jnp.zeros(40)}
        run = jax.jit(lambda carry: jax.lax.scan(step, carry, None, steps)[1])
        return map(np.asarray, run((params, optimizer.init(params))))


def test_the_preconditioner_saves_more_than_a_third_of_the_products():
    plain, end = products_and_loss(optim.hessian_free(1e-3), 8)
    fewer, lower = products_and_loss(optim.hessian_free(1e-3, precondition=0.75), 8)
    assert fewer[0] < 0.6 * plain[0]
    assert fewer[-1] < 0.6 * plain[-1]
    assert lower[-1] < end[-1]


def test_the_diagonal_of_the_empirical_fisher_is_the_mean_of_squared_gradients(agrees):
    predict, loss, x, label = badly_scaled()
    with jax.enable_x64(True):
        params = {"x": 0.1 / jnp.logspace(-2, 2, 40)}
        score = np.asarray(predict(params))
        wanted = np.mean((x * (1 / (1 + np.exp(-score)) - label)[:, None]) ** 2, 0)
        found = optim.empirical_fisher_diagonal(predict, loss, params, jax.random.key(0), samples=2000)["x"]
        np.testing.assert_allclose(found, wanted, rtol=0.15)
        # Examples that share no parameter have no mixed products: one sample is exact.
        apart = lambda params: params["x"] * jnp.asarray(x[0, :40])
        square = lambda outputs: jnp.mean(outputs**2)
        once = optim.empirical_fisher_diagonal(apart, square, params, jax.random.key(1))["x"]
        wanted = 40 * (2 * np.asarray(params["x"]) * x[0] ** 2 / 40) ** 2
        agrees.values("optim.empirical_fisher_diagonal", "closed form", once, wanted)


def test_iterates_are_kept_at_growing_distances():
    marks = _marks(250)
    assert marks[0] == 1
    assert marks[-1] == 250
    assert len(marks) < 25
    assert all(b <= np.ceil(1.3 * a) + 1 for a, b in itertools.pairwise(marks))


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="max_steps must be a whole number"):
        optim.newton_cg(0)
    with pytest.raises(ValueError, match="damping must lie in"):
        optim.hessian_free(-1.0)
    with pytest.raises(TypeError, match="the loss in two halves"):
        path(optim.hessian_free(precondition=0.75), *VALLEYS["quadratic"], 1)
    with pytest.raises(TypeError, match="scale_by_newton_cg needs the parameters and the loss"):
        optim.scale_by_newton_cg().update(jnp.ones(2), (), jnp.ones(2))
