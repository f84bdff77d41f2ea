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


def test_polyaks_optimum_needs_a_fifth_of_the_steps():
    curvature, kappa = np.linspace(1, 100, 20), 100
    steps = lambda theta: int(np.argmax(np.abs(theta).max(axis=1) < 1e-6))
    gradient = lambda params, t: jnp.asarray(curvature) * params
    alpha, epsilon = ((kappa**0.5 - 1) / (kappa**0.5 + 1)) ** 2, 4 / (kappa**0.5 + 1) ** 2
    ball = steps(path(optim.momentum(epsilon, alpha), gradient, np.ones(20), 1000))
    plain = steps(path(optim.sgd(2 / (kappa + 1)), gradient, np.ones(20), 1000))
    assert 0 < ball <= 0.2 * plain


def test_nesterovs_bound_holds():
    """f(x_k) - f* <= 2 L |x_0 - x*|^2 / (k + 1)^2, with momentum k / (k + 3), on random convex quadratics."""
    random = np.random.default_rng(0)
    growing = lambda step: jnp.asarray(step, float) / (jnp.asarray(step, float) + 3)
    for _ in range(5):
        curvature = random.uniform(0, 1, 30) ** 8
        start, top = random.standard_normal(30), curvature.max()
        settle = lambda params, state: optim.base_point(params, state[-1].velocity, growing(state[-1].step))
        gradient = lambda params, t, curvature=curvature: jnp.asarray(curvature) * params
        x = path(optim.nesterov(1 / top, growing), gradient, start, 200, settle)
        k = np.arange(1, 201)
        assert np.all(0.5 * x**2 @ curvature <= 2 * top * np.sum(start**2) / (k + 1) ** 2)


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


def test_adam_walks_the_wrong_way_on_the_counter_example_of_reddi():
    """Gradients C, -1, -1 in turn drive down; with b1 = 0, b2 = 1 / (1 + C^2) Adam climbs.  1904.09237, theorem 1"""
    c = 4.0
    gradient = lambda params, t: jnp.full_like(params, 1.0) * jnp.where(t % 3 == 0, c, -1.0)
    assert path(optim.sgd(0.01), gradient, np.zeros(1), 300)[-1, 0] < -1.9
    assert path(optim.adam(0.01, b1=0.0, b2=1 / (1 + c**2)), gradient, np.zeros(1), 300)[-1, 0] > 0.5


def test_constant_rates_leave_the_noise_that_theory_says():
    """Variance epsilon sigma^2 / (lambda (2 - epsilon lambda)) around the minimum; falling rates leave none."""
    noise = np.random.default_rng(0).standard_normal((300, 4000))
    noisy = lambda params, t: 2.0 * params + jnp.asarray(noise)[t]
    constant = path(optim.sgd(0.2), noisy, np.zeros(4000), 300)[-1]
    falling = path(optim.sgd(optim.inverse_time(0.5)), noisy, np.zeros(4000), 300)[-1]
    assert constant.var() == pytest.approx(0.2 / (2.0 * (2 - 0.4)), rel=0.05)
    assert falling.var() < 0.05 * constant.var()
