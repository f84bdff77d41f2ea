"""BFGS and L-BFGS: the direction against transcriptions of the book, the ends and their price against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from tests.optim.valleys import VALLEYS, for_scipy, path, rosenbrock, steps_until

named = pytest.mark.parametrize("name", VALLEYS)


def inverse_hessians(x, g, rescale):
    """Nocedal & Wright algorithm 6.1: H after each step of a path, equations 6.17 and 6.20."""
    n = x.shape[1]
    H = identity = np.eye(n)
    first = True
    yield H
    for k in range(len(x) - 1):
        s, y = x[k + 1] - x[k], g[k + 1] - g[k]
        if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
            if first and rescale:
                H = (y @ s) / (y @ y) * identity
            first = False
            rho = 1 / (y @ s)
            left = identity - rho * np.outer(s, y)
            H = left @ H @ left.T + rho * np.outer(s, s)
        yield H


def two_loops(x, g, m):
    """Algorithms 7.4 and 7.5: H_k grad_k at each point of a path, with all pairs of the past in a list."""
    pairs = []
    for k in range(len(x)):
        if k:
            s, y = x[k] - x[k - 1], g[k] - g[k - 1]
            if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y):
                pairs.append((s, y))
        q, alphas = g[k].copy(), []
        for s, y in pairs[-m:][::-1]:
            alphas.append((s @ q) / (y @ s))
            q = q - alphas[-1] * y
        if pairs:
            s, y = pairs[-1]
            q = (s @ y) / (y @ y) * q
        for s, y in pairs[-m:]:
            q = q + s * (alphas.pop() - (y @ q) / (y @ s))
        yield q


def directions(transform, x, g):
    """What the transform makes of the gradients along a path."""

    def step(state, row):
        update, state = transform.update({"x": row[1]}, state, {"x": row[0]})
        return state, update["x"]

    with jax.enable_x64(True):
        state = transform.init({"x": jnp.asarray(x[0])})
        return np.asarray(jax.lax.scan(step, state, (jnp.asarray(x), jnp.asarray(g)))[1])


@named
@pytest.mark.parametrize("rescale", [True, False], ids=["rescaled", "from the identity"])
def test_bfgs_is_the_book(name, rescale, agrees):
    x, _, g, _ = path(optim.bfgs(), *VALLEYS[name], 12)
    wanted = np.array([H @ g for H, g in zip(inverse_hessians(x, g, rescale), g)])
    found = directions(optim.scale_by_bfgs(rescale=rescale), x, g)
    agrees.values("optim.scale_by_bfgs", "NumPy, algorithm 6.1", found, wanted)


@named
@pytest.mark.parametrize("memory", [1, 3, 10])
def test_lbfgs_is_the_book(name, memory, agrees):
    x, _, g, _ = path(optim.lbfgs(memory), *VALLEYS[name], 12)
    wanted = np.array(list(two_loops(x, g, memory)))
    agrees.values(
        "optim.scale_by_lbfgs", "NumPy, algorithm 7.4", directions(optim.scale_by_lbfgs(memory), x, g), wanted
    )


@named
@pytest.mark.parametrize(("kind", "method"), [("bfgs", "BFGS"), ("lbfgs", "L-BFGS-B")])
def test_the_end_is_that_of_scipy_at_no_higher_price(name, kind, method, agrees):
    optimize = pytest.importorskip("scipy.optimize")
    f, start = VALLEYS[name]
    by_gradient = {"ftol": 0} if method == "L-BFGS-B" else {}
    rough, end = (
        optimize.minimize(for_scipy(f), start, jac=True, method=method, options={"gtol": gtol, **by_gradient})
        for gtol in (1e-5, 1e-9)
    )
    x, _, g, _ = path({"bfgs": optim.bfgs(), "lbfgs": optim.lbfgs()}[kind], f, start, 300)
    assert steps_until(g, 1e-5) <= 1.5 * rough.nit
    agrees.values(f"optim.{kind}", f"scipy {method}, minimiser", x[-1], end.x, most=1e-6)


def test_rosenbrock_within_forty_steps():
    for optimizer in (optim.bfgs(), optim.lbfgs()):
        _, values, _, _ = path(optimizer, *VALLEYS["rosenbrock"], 40)
        assert values.min() < 1e-12


def test_a_hundred_dimensions_of_rosenbrock():
    _, values, _, _ = path(optim.lbfgs(), rosenbrock, np.tile([-1.2, 1.0], 50), 600)
    assert values[-1] < 1e-8


def test_bfgs_with_exact_steps_is_conjugate_gradients_and_ends_with_the_inverse(agrees):
    # Dixon: on a quadratic all of them take the same steps.
    rng = np.random.default_rng(3)
    root = rng.standard_normal((6, 6))
    A, b = root @ root.T + np.eye(6), rng.standard_normal(6)
    with jax.enable_x64(True):
        transform = optim.scale_by_bfgs(rescale=False)
        x = jnp.zeros(6)
        state = transform.init(x)
        points = []
        for _ in range(7):
            g = A @ x - b
            d, state = transform.update(g, state, x)
            x = x - (g @ d) / (d @ A @ d + 1e-300) * d
            points.append(np.asarray(x))
        wanted = [
            optim.conjugate_gradient(lambda v: A @ v, jnp.asarray(b), tolerance=0.0, max_steps=k).x for k in range(1, 7)
        ]
        agrees.values("optim.scale_by_bfgs, exact steps", "linear CG", points[:6], [np.asarray(w) for w in wanted])
        np.testing.assert_allclose(state.inverse, np.linalg.inv(A), rtol=1e-7, atol=1e-9)


def test_steps_that_teach_nothing_are_left_out():
    # Along a concave direction the gradient falls: the memory stays empty and the direction is the gradient.
    for transform in (optim.scale_by_bfgs(), optim.scale_by_lbfgs(3)):
        state = transform.init(jnp.ones(2))
        for x in ([1.0, 1.0], [2.0, 2.0], [3.0, 3.5]):
            update, state = transform.update(-jnp.asarray(x), state, jnp.asarray(x))
            np.testing.assert_array_equal(update, -np.asarray(x, "f"))
        assert int(state.step) == 0


def bumpy(x):
    """The gradient of a loss with two valleys, concave between them, and noise that no two steps share."""
    return np.array([4 * x[0] ** 3 - 4 * x[0], x[1]]) + 0.3 * np.sin(40 * x)


def hessian(pairs, first):
    """Nocedal & Wright equation 6.19, from the first pair to the last; B_0 = first(pairs) I."""
    B = first(pairs) * np.eye(2)
    for s, y in pairs:
        B = B - np.outer(B @ s, B @ s) / (s @ B @ s) + np.outer(y, y) / (s @ y)
    return B


def powell(x, g, damping, first, memory=99):
    """Procedure 18.2: the inverse of B times the gradient, at each point of a path."""
    pairs = []
    for k in range(len(x)):
        B = hessian(pairs[-memory:], first)
        if k:
            s, y = x[k] - x[k - 1], g[k] - g[k - 1]
            sBs = s @ B @ s
            theta = 1.0 if s @ y >= damping * sBs else (1 - damping) * sBs / (sBs - s @ y)
            pairs.append((s, theta * y + (1 - theta) * B @ s))
            B = hessian(pairs[-memory:], first)
        assert np.linalg.eigvalsh(B).min() > 0
        yield np.linalg.solve(B, g[k])


def newest(pairs):
    return pairs[-1][1] @ pairs[-1][1] / (pairs[-1][0] @ pairs[-1][1]) if pairs else 1.0


DAMPED = {
    "bfgs": (optim.scale_by_bfgs(damping=0.2), lambda pairs: 1.0, 99),
    "lbfgs": (optim.scale_by_lbfgs(12, damping=0.2), newest, 12),
    "lbfgs, forgetting": (optim.scale_by_lbfgs(3, damping=0.2), newest, 3),
}


@pytest.mark.parametrize("kind", DAMPED)
def test_damping_is_procedure_18_2(kind, agrees):
    transform, first, memory = DAMPED[kind]
    x = np.cumsum(0.3 * np.random.default_rng(5).standard_normal((10, 2)), 0)
    g = np.array(list(map(bumpy, x)))
    assert (np.sum(np.diff(x, axis=0) * np.diff(g, axis=0), 1) < 0).any()
    wanted = np.array(list(powell(x, g, 0.2, first, memory)))
    name = f"optim.{transform.call.kind}, damped"
    agrees.values(name, "NumPy, procedure 18.2", directions(transform, x, g), wanted)


@pytest.mark.parametrize("make", [optim.scale_by_bfgs, lambda **how: optim.scale_by_lbfgs(3, **how)])
def test_damping_learns_where_the_loss_is_concave_and_stays_positive(make):
    """Under steps of one rate, without a search: undamped, no step on the ridge teaches anything."""

    def walk(transform, steps):
        x = jnp.asarray([0.05, 0.0])
        state = transform.init(x)
        for _ in range(steps):
            g = jnp.asarray([4 * x[0] ** 3 - 4 * x[0], x[1]])
            direction, state = transform.update(g, state, x)
            assert jnp.sum(g * direction) > 0
            x = x - 0.05 * direction
        return abs(float(x[0])), int(state.step)

    far, learnt = walk(make(damping=0.2), 8)
    near, undamped = walk(make(), 8)
    assert (learnt, undamped) == (7, 0)
    assert far > 2 * near


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="memory must be a whole number"):
        optim.lbfgs(0)
    with pytest.raises(ValueError, match="eps must lie in"):
        optim.scale_by_bfgs(eps=-1.0)
    with pytest.raises(ValueError, match="damping must lie in"):
        optim.lbfgs(damping=1.0)
    with pytest.raises(TypeError, match="need the parameters"):
        optim.scale_by_lbfgs().update(jnp.ones(2), optim.scale_by_lbfgs().init(jnp.ones(2)))
