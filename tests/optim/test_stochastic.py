"""Noisy gradients (lecture.md row 60): what constant and falling rates leave, batches of all sizes, averages."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, optim
from fdl.train import init_state, make_train_step
from tests.optim.test_closed_forms import path


def chains(optimizer, curvature, start, steps, count, seed=0):
    """The parameters after each step of many runs on f = curvature / 2 x², whose gradients have unit noise."""
    draw = lambda t: jax.random.normal(jax.random.fold_in(jax.random.key(seed), t), (count,), "float64")
    return path(optimizer, lambda x, t: curvature * x + draw(t), np.full(count, start), steps)


def test_constant_rates_leave_the_noise_that_theory_says():
    """Variance epsilon sigma^2 / (lambda (2 - epsilon lambda)), to 3 %."""
    end = chains(optim.sgd(0.2), 2.0, 0.0, 60, 40_000)[-1]
    assert end.var() == pytest.approx(0.2 / (2.0 * (2 - 0.4)), rel=0.03)


def test_rates_like_one_over_k_forget_the_noise_like_one_over_k():
    squares = np.mean(chains(optim.sgd(optim.inverse_time(1.0)), 1.0, 3.0, 3000, 2000) ** 2, axis=1)
    k = np.unique(np.geomspace(30, 3000, 40).astype(int))
    slope = np.polyfit(np.log(k), np.log(squares[k - 1]), 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.05)


def test_rates_like_one_over_k_squared_stall_on_the_way():
    """Their sum is finite.  Of the start the product of 1 - 0.5 / k^2 is left: sin(pi r) / (pi r) with r^2 = 0.5."""
    end = chains(optim.sgd(optim.inverse_time(0.5, power=2.0)), 1.0, 3.0, 2000, 4000)[-1]
    r = math.sqrt(0.5)
    assert end.mean() == pytest.approx(3 * math.sin(math.pi * r) / (math.pi * r), abs=0.05)


INPUTS = np.random.default_rng(0).integers(-8, 9, (6, 3)).astype("f") / 8
TARGETS = np.random.default_rng(1).integers(-8, 9, 6).astype("f") / 8


def loss_of(params, inputs, targets):
    return jnp.mean((inputs @ params["w"] - targets) ** 2)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("replace", [False, True])
def test_a_batch_has_the_full_gradient_in_the_mean_of_all_batches(batch, replace):
    if replace and batch == 5:
        batch = 3
    pick = itertools.product(range(6), repeat=batch) if replace else itertools.combinations(range(6), batch)
    rows = np.array(list(pick))
    params = {"w": jnp.asarray([0.5, -1.0, 0.25])}
    grads = jax.vmap(lambda i: jax.grad(loss_of)(params, jnp.asarray(INPUTS)[i], jnp.asarray(TARGETS)[i])["w"])(rows)
    full = jax.grad(loss_of)(params, jnp.asarray(INPUTS), jnp.asarray(TARGETS))["w"]
    np.testing.assert_allclose(np.mean(np.asarray(grads, "float64"), 0), full, atol=1e-6)


def test_an_epoch_of_batches_without_replacement_has_the_full_gradient():
    params = {"w": jnp.asarray([0.5, -1.0, 0.25])}
    rows = [np.asarray(data.indices(3, step, size=6, batch=2)) for step in range(3)]
    assert sorted(np.concatenate(rows)) == list(range(6))
    grads = [jax.grad(loss_of)(params, INPUTS[i], TARGETS[i])["w"] for i in rows]
    np.testing.assert_allclose(np.mean(grads, 0), jax.grad(loss_of)(params, INPUTS, TARGETS)["w"], rtol=1e-6)


def test_a_batch_of_everything_is_full_batch_descent_bit_for_bit():
    """Inputs, targets and rate are few bits each, so that sums are exact in any order for the first few steps."""
    optimizer = optim.sgd(0.125)
    start = {"w": jnp.asarray([0.5, -1.0, 0.25])}
    loss_fn = lambda params, state, batch, key: (8 * jnp.sum((batch[0] @ params["w"] - batch[1]) ** 2), (state, {}))
    step = make_train_step(loss_fn, optimizer)
    state = init_state(lambda key: (jax.tree.map(jnp.array, start), {}), optimizer)
    plain, opt_state = start, optimizer.init(start)
    for k in range(2):
        rows = data.indices(0, k, size=6, batch=6)
        assert list(rows) != list(range(6))
        state, _ = step(state, (INPUTS[rows], TARGETS[rows]))
        grads = jax.grad(lambda params: loss_fn(params, {}, (INPUTS, TARGETS), None)[0])(plain)
        updates, opt_state = optimizer.update(grads, opt_state, plain)
        plain = optim.apply_updates(plain, updates)
        np.testing.assert_array_equal(state.params["w"], plain["w"])


def test_the_average_has_the_least_covariance_there_is():
    """Polyak & Ruppert: the covariance of the mean of k parameters is H^-1 S H^-1 / k, whatever the rates; to 10 %."""
    hessian, root = np.array([[2.0, 0.6], [0.6, 0.5]]), np.array([[1.0, 0.0], [0.8, 0.6]])
    count, steps = 6000, 4000
    optimizer = optim.chain(optim.sgd(optim.inverse_time(0.5, 10.0, 0.6)), optim.swa())

    def step(t, carry):
        x, state = carry
        z = jax.random.normal(jax.random.fold_in(jax.random.key(1), t), (count, 2), "float64")
        updates, state = optimizer.update(x @ jnp.asarray(hessian) + z @ jnp.asarray(root.T), state, x)
        return optim.apply_updates(x, updates), state

    with jax.enable_x64(True):
        x = jnp.zeros((count, 2))
        x, state = jax.lax.fori_loop(0, steps, step, (x, optimizer.init(x)))
        mean = np.asarray(optim.averaged(state, x))
    inverse = np.linalg.inv(hessian)
    np.testing.assert_allclose(np.cov(mean.T), inverse @ root @ root.T @ inverse / steps, rtol=0.1)
