"""What theory says of the paths, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim

LAMBDA = np.array([0.5, 1.0, 4.0, 20.0])


def path(optimizer, gradient, start, steps, view=lambda params, state: params):
    """Parameters after every step, in float64."""

    def step(carry, t):
        params, state = carry
        updates, state = optimizer.update(gradient(params, t), state, params)
        params = optim.apply_updates(params, updates)
        return (params, state), view(params, state)

    with jax.enable_x64(True):
        params = jnp.asarray(start, float)
        return np.asarray(jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))[1])


def quadratic(params, t):
    return jnp.asarray(LAMBDA) * params


def constantly(value):
    return lambda params, t: jnp.full_like(params, value)


def test_gradient_descent_shrinks_each_direction_by_its_own_factor():
    epsilon, k = 0.03, np.arange(1, 201)[:, None]
    np.testing.assert_allclose(path(optim.sgd(epsilon), quadratic, np.ones(4), 200), (1 - epsilon * LAMBDA) ** k, 1e-10)


def test_gradient_descent_under_a_schedule_multiplies_its_factors():
    rates = 0.04 / (1 + np.arange(200) / 10)
    wanted = np.cumprod(1 - rates[:, None] * LAMBDA, axis=0)
    found = path(optim.sgd(optim.inverse_time(0.04, 10.0)), quadratic, np.ones(4), 200)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@pytest.mark.parametrize(("factor", "diverges"), [(0.99, False), (1.01, True)])
def test_gradient_descent_diverges_beyond_two_over_the_largest_curvature(factor, diverges):
    end = path(optim.sgd(factor * 2 / LAMBDA.max()), quadratic, np.ones(4), 1000)[-1]
    assert (np.linalg.norm(end) > 1e6) == diverges


def test_the_best_rate_shrinks_by_kappa_minus_one_over_kappa_plus_one():
    low, high = LAMBDA.min(), LAMBDA.max()
    norms = np.abs(path(optim.sgd(2 / (low + high)), quadratic, np.ones(4), 100)).max(axis=1)
    np.testing.assert_allclose(norms[1:] / norms[:-1], (high - low) / (high + low), rtol=1e-10)


@pytest.mark.parametrize(("average", "terminal"), [(False, 0.01 * 3 / (1 - 0.9)), (True, 0.01 * 3)])
def test_terminal_velocity(average, terminal):
    theta = path(optim.sgd(0.01, 0.9, average=average), constantly(3.0), np.zeros(1), 500)
    assert theta[-2, 0] - theta[-1, 0] == pytest.approx(terminal, rel=1e-12)


def test_momentum_is_a_power_of_a_two_by_two_matrix():
    epsilon, alpha = 0.02, 0.8
    found = path(optim.momentum(epsilon, alpha), quadratic, np.ones(4), 60)
    for i, curvature in enumerate(LAMBDA):
        matrix = np.array([[1 - epsilon * curvature, alpha], [-epsilon * curvature, alpha]])
        wanted = [(np.linalg.matrix_power(matrix, k) @ [1, 0])[0] for k in range(1, 61)]
        np.testing.assert_allclose(found[:, i], wanted, atol=1e-14)


def test_heavy_ball_shrinks_by_the_root_of_its_momentum():
    """Where the roots are complex the spectral radius is sqrt(alpha), whatever the curvature."""
    alpha, epsilon = 0.81, 0.05
    found = path(optim.momentum(epsilon, alpha), quadratic, np.ones(4), 400)
    energy = np.abs(found).reshape(20, 20, 4).max(axis=1)
    np.testing.assert_allclose((energy[-1] / energy[9]) ** (1 / 200), np.sqrt(alpha), rtol=0.01)


def test_the_spectral_radius_of_heavy_ball_is_the_root_of_its_momentum():
    """One step is linear in (parameters, velocity): the eigenvalues of its own matrix, for each curvature."""
    alpha, optimizer = 0.81, optim.momentum(0.05, 0.81)

    def step(both, curvature):
        _, state = optimizer.init(both[0])[0], optimizer.init(both[0])
        state = (state[0], state[1]._replace(velocity=both[1]))
        updates, state = optimizer.update(curvature * both[0], state, both[0])
        return jnp.stack([both[0] + updates, state[1].velocity])

    with jax.enable_x64(True):
        for curvature in LAMBDA:
            matrix = np.asarray(jax.jacobian(step)(jnp.zeros(2), curvature))
            np.testing.assert_allclose(np.abs(np.linalg.eigvals(matrix)), np.sqrt(alpha), rtol=1e-12)


def test_polyaks_optimum_needs_a_fifth_of_the_steps():
    curvature, kappa = np.linspace(1, 100, 20), 100
    steps = lambda theta: int(np.argmax(np.abs(theta).max(axis=1) < 1e-6))
    gradient = lambda params, t: jnp.asarray(curvature) * params
    alpha, epsilon = ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2, 4 / (kappa**0.5 + 1) ** 2
    ball = steps(path(optim.momentum(epsilon, alpha), gradient, np.ones(20), 1000))
    plain = steps(path(optim.sgd(2 / (kappa + 1)), gradient, np.ones(20), 1000))
    assert 0 < ball <= 0.2 * plain


def convex_problems(random, dim=12):
    """Ten quadratics and ten logistic regressions, largest curvature 1: gradient(x), loss(x), start, minimum."""
    curvature = random.uniform(0, 1, (10, dim)) ** 8
    curvature /= curvature.max(1, keepdims=True)
    rows = random.standard_normal((10, 60, dim))
    signs = np.sign(rows @ random.standard_normal((10, dim, 1)) + 4 * random.standard_normal((10, 60, 1)))
    rows = rows * signs / np.sqrt(np.linalg.eigvalsh(np.swapaxes(rows, 1, 2) @ rows).max(1) / 4)[:, None, None]
    margins = lambda x: jnp.einsum("ind,id->in", jnp.asarray(rows), x[10:])

    def loss(x):
        quadratic = 0.5 * jnp.sum(jnp.asarray(curvature) * x[:10] ** 2, 1)
        return jnp.concatenate([quadratic, jnp.sum(jax.nn.softplus(-margins(x)), 1)])

    best = np.zeros((20, dim))
    for _ in range(50):  # Newton's method, in NumPy
        m = np.einsum("ind,id->in", rows, best[10:])
        p = (1 - np.tanh(m / 2)) / 2
        hessian = np.einsum("ind,in,ine->ide", rows, p * (1 - p), rows)
        best[10:] += np.linalg.solve(hessian, np.einsum("ind,in->id", rows, p)[..., None])[..., 0]
    return jax.grad(lambda x: jnp.sum(loss(x))), loss, best + random.standard_normal((20, dim)), best


growing = lambda step: jnp.asarray(step, float) / (jnp.asarray(step, float) + 3)
settled = lambda params, state: optim.base_point(params, state[-1].velocity, growing(state[-1].step))


def test_nesterovs_bound_holds_on_twenty_convex_problems():
    """f(x_k) - f* <= 2 L |x_0 - x*|^2 / (k + 1)^2, with momentum k / (k + 3) and rate 1 / L."""
    gradient, loss, start, best = convex_problems(np.random.default_rng(0))
    x = path(optim.nesterov(1.0, growing), lambda x, t: gradient(x), start, 200, settled)
    with jax.enable_x64(True):
        excess = np.asarray(jax.vmap(loss)(jnp.asarray(x)) - loss(jnp.asarray(best))[None])
    k = np.arange(1, 201)[:, None]
    assert np.all(excess >= -1e-12)
    assert np.all(excess <= 2 * np.sum((start - best) ** 2, 1)[None] / (k + 1) ** 2)


def test_nesterov_beats_classical_momentum_on_the_worst_quadratic():
    """A chain of springs, Nesterov 2004, section 2.1.4, at the same rate 1 / L and the momentum for condition 1,000."""
    n, kappa = 100, 1000
    springs = (2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)) * (1 - 1 / kappa) / 4
    hessian, pull = springs + np.eye(n) / kappa, np.eye(n)[0] * (1 - 1 / kappa) / 4
    alpha = (kappa**0.5 - 1) / (kappa**0.5 + 1)
    gradient = lambda x, t: jnp.asarray(hessian) @ x - jnp.asarray(pull)
    best = np.linalg.solve(hessian, pull)
    excess = lambda x: 0.5 * np.einsum("ti,ij,tj->t", x - best, hessian, x - best)
    view = lambda params, state: optim.base_point(params, state[-1].velocity, alpha)
    accelerated = excess(path(optim.nesterov(1.0, alpha), gradient, np.zeros(n), 400, view))
    classical = excess(path(optim.momentum(1.0, alpha), gradient, np.zeros(n), 400))
    assert np.all(accelerated[[49, 99, 199, 399]] < classical[[49, 99, 199, 399]] / 5)


@pytest.mark.parametrize("factor", [1e-30, 0.37, 1e30])
def test_rprop_does_not_see_the_scale_of_gradients(factor):
    noisy = lambda params, t: quadratic(params, t) + jnp.sin(jnp.asarray(t, float) * jnp.arange(1.0, 5.0))
    plain = path(optim.rprop(), noisy, np.ones(4), 100)
    np.testing.assert_array_equal(path(optim.rprop(), lambda p, t: factor * noisy(p, t), np.ones(4), 100), plain)


def test_rprops_sizes_stay_in_their_bounds():
    one_way = path(optim.rprop(1.0, bounds=(0.1, 3.0)), constantly(1.0), np.zeros(1), 10)[:, 0]
    np.testing.assert_allclose(-np.diff(one_way)[:7], np.minimum(1.2 ** np.arange(1, 8), 3.0))
    to_and_fro = lambda params, t: jnp.full_like(params, 1.0) * jnp.where(t // 2 % 2 == 0, 1.0, -1.0)
    moves = np.abs(np.diff(path(optim.rprop(1.0, bounds=(0.9, 1.0)), to_and_fro, np.zeros(1), 20)[:, 0]))
    assert set(moves.round(12)) <= {0.0, 0.9, 1.0}


def test_rmsprop_without_memory_is_sign_descent():
    found = path(optim.rmsprop(0.25, decay=0.0, eps=0.0), quadratic, np.array([8.0, -8.0, 0.0, 4.0]), 10)
    np.testing.assert_array_equal(found[-1], [5.5, -5.5, 0.0, 1.5])


def test_hintons_example_signs_drift_and_rmsprop_does_not():
    """Nine gradients of +0.1 and one of -0.9, in turn: their sum is 0."""
    gradient = lambda params, t: jnp.full_like(params, 0.1) - jnp.where(t % 10 == 9, 1.0, 0.0)
    drift = lambda optimizer: (lambda theta: theta[-1] - theta[-11])(path(optimizer, gradient, np.zeros(1), 10_000))
    assert drift(optim.rmsprop(1e-3, decay=0.0, eps=0.0)) == pytest.approx(-8e-3)
    assert drift(optim.rprop(1e-3, bounds=(0.5e-3, 2e-3))) < -8e-3
    assert abs(drift(optim.rmsprop(1e-3, decay=0.999))) < 1e-4


def test_adams_first_step_is_the_learning_rate_times_the_sign():
    found = path(optim.adam(0.1, eps=0.0), constantly(jnp.asarray([1e-30, -5.0, 0.0])), np.zeros(3), 1)[0]
    np.testing.assert_allclose(found, [-0.1, 0.1, 0.0], rtol=1e-12)


def test_adams_steps_are_bounded():
    """Section 2.1 of the paper: by e where gradients agree, by e (1 - b1) / sqrt(1 - b2) where they are rare."""
    same = path(optim.adam(0.1), constantly(3.0), np.zeros(1), 300)
    assert np.abs(np.diff(same[:, 0])).max() <= 0.1 * (1 + 1e-12)
    rare = path(optim.adam(0.1, eps=0.0), lambda p, t: jnp.where(t == 4999, jnp.ones_like(p), 0.0), np.zeros(1), 5000)
    assert -rare[-1, 0] == pytest.approx(0.1 * (1 - 0.9) / np.sqrt(1 - 0.999) * np.sqrt(1 - 0.999**5000), rel=1e-9)


def test_adam_walks_the_wrong_way_on_the_counter_example_of_reddi_and_amsgrad_does_not():
    """Gradients C, -1, -1 in turn drive down; with b1 = 0, b2 = 1 / (1 + C^2) Adam climbs.  1904.09237, theorem 1"""
    c = 4.0
    gradient = lambda params, t: jnp.full_like(params, 1.0) * jnp.where(t % 3 == 0, c, -1.0)
    assert path(optim.sgd(0.01), gradient, np.zeros(1), 300)[-1, 0] < -1.9
    decays = {"b1": 0.0, "b2": 1 / (1 + c**2)}
    assert path(optim.adam(0.01, **decays), gradient, np.zeros(1), 300)[-1, 0] > 0.5
    # The largest square is about C^2: it goes down by 0.01 (C - 2) / C in each of a hundred turns.
    down = path(optim.amsgrad(0.01, **decays, correct_bias=False), gradient, np.zeros(1), 300)[-1, 0]
    assert down == pytest.approx(-100 * 0.01 * (c - 2) / c, rel=0.05)


def test_adamw_shrinks_what_has_no_gradient_by_one_factor():
    found = path(optim.adamw(0.1, weight_decay=0.3, where="**"), constantly(0.0), np.array([1.0, -2.0]), 50)
    np.testing.assert_allclose(found, np.array([1.0, -2.0]) * (1 - 0.1 * 0.3) ** np.arange(1, 51)[:, None], rtol=1e-12)


def test_every_step_of_lion_has_the_size_of_the_rate():
    noisy = lambda x, t: quadratic(x, t) + jnp.sin(jnp.asarray(t, float) * jnp.arange(1.0, 5.0))
    found = path(optim.lion(2**-7, weight_decay=0.0, where="**"), noisy, np.ones(4), 100)
    np.testing.assert_array_equal(np.abs(np.diff(found, axis=0)), 2.0**-7)


def test_the_x_of_schedule_free_is_the_weighted_mean_of_its_z():
    rates = optim.warmup(optim.constant(0.05), 10)
    optimizer = optim.schedule_free_adamw(rates)
    view = lambda params, state: jnp.stack([optim.averaged(state, params), state.fast])
    x, z = np.moveaxis(path(optimizer, quadratic, np.ones(4), 100, view), 1, 0)
    weights = np.array([0.05 * min(k / 10, 1) for k in range(100)])[:, None] ** 2
    means = np.cumsum(weights * z, 0)[1:] / np.cumsum(weights, 0)[1:]
    np.testing.assert_allclose(x[1:], means, rtol=1e-12)
