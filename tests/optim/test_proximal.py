"""Proximal gradients against scikit-learn, operators against their definition, projections against optax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from tests.optim.valleys import path

RNG = np.random.default_rng(0)
N, D = 40, 8
X = RNG.standard_normal((N, D)) @ np.diag(np.linspace(0.5, 2, D))
Y = X @ np.array([3.0, 0, 0, -2, 0, 0.1, 0, 1]) + 0.1 * RNG.standard_normal(N)
RATE = float(1 / np.linalg.norm(X.T @ X / N, 2))


def fit(params):
    return 0.5 * jnp.mean((jnp.asarray(X) @ params["x"] - jnp.asarray(Y)) ** 2)


def descend(penalty, steps=1500, **how):
    optimizer = optim.proximal_gradient(RATE, penalty, where="**", **how)
    return path(optimizer, fit, np.zeros(D), steps)


@pytest.mark.parametrize("accelerate", [False, True], ids=["ista", "fista"])
def test_the_end_is_the_lasso_of_scikit_learn(accelerate, agrees):
    linear = pytest.importorskip("sklearn.linear_model")
    wanted = linear.Lasso(alpha=0.2, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, Y).coef_
    x, _, _, state = descend(optim.soft_threshold(0.2), accelerate=accelerate)
    found = state[-1].point["x"] if accelerate else x[-1]
    agrees.values(
        f"optim.proximal_gradient, {'FISTA' if accelerate else 'ISTA'}", "sklearn Lasso", found, wanted, most=1e-6
    )
    np.testing.assert_array_equal(found == 0, wanted == 0)
    assert 0 < (wanted == 0).sum() < D


def test_the_end_is_the_elastic_net_of_scikit_learn(agrees):
    linear = pytest.importorskip("sklearn.linear_model")
    net = linear.ElasticNet(alpha=0.3, l1_ratio=0.4, fit_intercept=False, tol=1e-14, max_iter=100_000)
    x, _, _, _ = descend(optim.soft_threshold(0.3 * 0.4, ridge=0.3 * 0.6))
    agrees.values("optim.soft_threshold, ridge", "sklearn ElasticNet", x[-1], net.fit(X, Y).coef_, most=1e-6)


def test_fista_is_the_paper_and_keeps_its_promise(agrees):
    def transcription(steps):
        """Beck & Teboulle 2009, FISTA with constant step size."""
        x, y, t = np.zeros(D), np.zeros(D), 1.0
        for _ in range(steps):
            z = y - RATE * X.T @ (X @ y - Y) / N
            new = np.sign(z) * np.maximum(np.abs(z) - RATE * 0.2, 0)
            t_new = (1 + np.sqrt(1 + 4 * t**2)) / 2
            y = new + (t - 1) / t_new * (new - x)
            x, t = new, t_new
            yield y

    found = descend(optim.soft_threshold(0.2), 60, accelerate=True)[0][1:]
    agrees.values("optim.extrapolate", "NumPy, FISTA", found[:60], np.array(list(transcription(60))))
    # Theorem 4.4: F(x_k) - F* <= 2 L |x*|² / (k + 1)².
    objective = lambda x: 0.5 * np.mean((X @ x - Y) ** 2) + 0.2 * np.abs(x).sum()
    best = descend(optim.soft_threshold(0.2))[0][-1]
    for k in (1, 5, 20, 50):
        point = descend(optim.soft_threshold(0.2), k - 1, accelerate=True)[3][-1].point["x"]
        assert objective(point) - objective(best) <= 2 / RATE * best @ best / (k + 1) ** 2


OPERATORS = {
    "soft": (optim.soft_threshold(0.7), lambda y: 0.7 * jnp.sum(jnp.abs(y))),
    "elastic": (optim.soft_threshold(0.7, ridge=0.5), lambda y: 0.7 * jnp.sum(jnp.abs(y)) + 0.25 * jnp.sum(y * y)),
    "group": (optim.group_soft_threshold(0.9), lambda y: 0.9 * jnp.sum(jnp.sqrt(jnp.sum(y * y, axis=-1)))),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_no_point_nearby_is_better_than_the_proximal_one(name):
    operator, penalty = OPERATORS[name]
    x, size = np.random.default_rng(0).standard_normal((5, 3)) * 1.5, 0.8
    x[0] /= 10  # so small that the step ends at zero
    with jax.enable_x64(True):
        objective = jax.jit(lambda y: penalty(y) + jnp.sum((y - x) ** 2) / (2 * size))
        point = operator(jnp.asarray(x), jnp.asarray(size))
        least = objective(point)
        assert (point == 0).any()
        for scale in (1e-6, 1e-3, 0.1):
            for _ in range(20):
                assert objective(point + scale * RNG.standard_normal(x.shape)) >= least - 1e-14


def test_groups_go_to_zero_together(agrees):
    x = np.array([[3.0, 4.0], [0.3, 0.4]])
    with jax.enable_x64(True):
        found = optim.group_soft_threshold(1.0)(jnp.asarray(x), jnp.asarray(1.0))
    agrees.values("optim.group_soft_threshold", "closed form", found, np.array([[2.4, 3.2], [0, 0]]))


NORMAL = RNG.standard_normal((4, 3))
PROJECTIONS = {
    "box": (optim.box(-0.3, 0.8), "projection_box", (-0.3, 0.8)),
    "hyperplane": (optim.hyperplane(NORMAL, 0.7), "projection_hyperplane", (NORMAL, 0.7)),
    "halfspace": (optim.halfspace(NORMAL, -0.7), "projection_halfspace", (NORMAL, -0.7)),
    "simplex": (optim.simplex(2.0), "projection_simplex", (2.0,)),
    "l1_ball": (optim.l1_ball(1.5), "projection_l1_ball", (1.5,)),
    "line": (optim.line(NORMAL), "projection_vector", (NORMAL,)),
    "l1_sphere": (optim.l1_sphere(1.5), "projection_l1_sphere", (1.5,)),
    "max_norm": (optim.max_norm(0.9, axis=(0, 1)), "projection_l2_ball", (0.9,)),
    "min_max_norm": (optim.min_max_norm(2.0, 2.0, axis=(0, 1)), "projection_l2_sphere", (2.0,)),
    "box, both sides": (optim.box(-0.4, 0.4), "projection_linf_ball", (0.4,)),
    "non_negative": (optim.non_negative, "projection_non_negative", ()),
}


@pytest.mark.parametrize("name", PROJECTIONS)
def test_projections_are_those_of_optax(name, agrees):
    optax = pytest.importorskip("optax")
    onto, kind, arguments = PROJECTIONS[name]
    for scale in (0.1, 1.0, 5.0):
        x = RNG.standard_normal((4, 3)) * scale
        with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            wanted = getattr(optax.projections, kind)(jnp.asarray(x), *map(jnp.asarray, arguments))
        with jax.enable_x64(True):
            found = jax.jit(onto)(jnp.asarray(x))
            again = jax.jit(onto)(found)
        agrees.values(f"optim.{name}", f"optax {kind}", found, wanted)
        np.testing.assert_allclose(again, found, atol=1e-12)


def test_a_projection_is_a_value_and_works_in_a_chain():
    onto = optim.simplex()
    assert repr(onto) == "simplex()"
    optimizer = optim.chain(optim.sgd(0.1), optim.project(onto, "**"))
    params = {"p": jnp.asarray([0.2, 0.3, 0.5])}
    state = optimizer.init(params)
    for _ in range(100):
        updates, state = optimizer.update({"p": params["p"] - jnp.asarray([2.0, 1.9, 0.0])}, state, params)
        params = optim.apply_updates(params, updates)
        np.testing.assert_allclose(params["p"].sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(params["p"], [0.55, 0.45, 0.0], atol=1e-5)


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="strength must lie in"):
        optim.soft_threshold(-1.0)
    with pytest.raises(ValueError, match="high must lie in"):
        optim.box(1.0, 0.0)
    with pytest.raises(ValueError, match="normal must have shape"):
        optim.hyperplane(np.ones(2))(jnp.ones(3))
    step = optim.proximal_gradient(0.1, optim.soft_threshold(0.1), where="**")
    with pytest.raises(TypeError, match="proximal_step needs the parameters"):
        step.update(jnp.ones(2), step.init(jnp.ones(2)))
