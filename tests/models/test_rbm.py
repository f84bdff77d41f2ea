"""RBMs against sums over all their states, written down from the energy."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import data, models, nn, train
from fdl.checks import ShapeError
from fdl.models import BINARY, GAUSSIAN, RBM, SOFTMAX, side_by_side
from fdl.models.partition import states

LABELLED = side_by_side((4, BINARY), (3, SOFTMAX))
SMALL = RBM(6, 4, kernel_init=nn.normal(1.0))


def weights(rbm, scale=1.0, seed=0):
    """Parameters without symmetry."""
    rng = np.random.default_rng(seed)
    shapes = {"kernel": (rbm.visible, rbm.hidden), "visible": rbm.visible, "hidden": rbm.hidden}
    return {name: jnp.asarray(scale * rng.standard_normal(shape), "float32") for name, shape in shapes.items()}


def all_binary(count):
    return np.array(list(product([0.0, 1.0], repeat=count)))


def energies(params, v, h):
    """-a·v - b·h - v W h of every pair, in float64."""
    kernel, a, b = (np.asarray(params[name], np.float64) for name in ("kernel", "visible", "hidden"))
    return -(v @ a)[:, None] - (h @ b)[None] - v @ kernel @ h.T


def log_sum(x, axis=None):
    top = x.max()
    return top + np.log(np.exp(x - top).sum(axis))


def test_the_energy_is_the_one_written_on_top():
    params, v, h = weights(SMALL), all_binary(6)[::7], all_binary(4)[::3]
    for i, j in product(range(len(v)), range(len(h))):
        found = SMALL.energy(params, jnp.asarray(v[i], "float32"), jnp.asarray(h[j], "float32"))
        assert found == pytest.approx(energies(params, v, h)[i, j], abs=1e-5)


def test_the_free_energy_sums_out_all_hidden_states():
    params, v = weights(SMALL), all_binary(6)
    want = -log_sum(-energies(params, v, all_binary(4)), 1)
    np.testing.assert_allclose(SMALL.free_energy(params, v.astype("f")), want, rtol=1e-5, atol=1e-5)


def test_linear_hidden_units_with_noise_are_integrated_out():
    rbm = RBM(3, 1, hidden_units=GAUSSIAN)
    params, v = weights(rbm), all_binary(3)
    h = np.linspace(-15, 15, 4001)[:, None]
    integrand = np.exp(-energies(params, v, h) - 0.5 * np.square(h[:, 0])[None])
    want = -np.log(np.trapezoid(integrand, h[:, 0], axis=1))
    np.testing.assert_allclose(rbm.free_energy(params, v.astype("f")), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("hidden_units", [BINARY, GAUSSIAN], ids=str)
def test_gaussian_visible_units_enter_by_their_squares(hidden_units):
    rbm = RBM(3, 2, GAUSSIAN, hidden_units)
    params, v = weights(rbm), jnp.asarray([[0.5, -2.0, 1.0]])
    other = RBM(3, 2, BINARY, hidden_units)
    difference = rbm.free_energy(params, v) - other.free_energy(params, v)
    np.testing.assert_allclose(difference, 0.5 * (0.25 + 4 + 1), rtol=1e-5)


@pytest.mark.parametrize("kind", [BINARY, GAUSSIAN, SOFTMAX, LABELLED], ids=str)
def test_the_mean_is_that_of_samples_and_the_slope_of_the_log_normaliser(kind):
    field = jnp.asarray([0.3, -1.0, 2.0, 0.0, 1.0, -0.5, 0.2])
    many = kind.sample(jax.random.key(0), jnp.broadcast_to(field, (20_000, 7)))
    np.testing.assert_allclose(many.mean(0), kind.mean(field), atol=0.03)
    np.testing.assert_allclose(jax.grad(lambda f: kind.log_normaliser(f))(field), kind.mean(field), rtol=1e-5)
    if kind != GAUSSIAN:
        assert set(np.unique(many)) == {0.0, 1.0}


def test_a_label_is_one_of_its_units():
    many = LABELLED.sample(jax.random.key(1), jnp.zeros((50, 7)))
    assert (many[:, 4:].sum(-1) == 1).all()
    assert repr(LABELLED) == "4 binary + 3 softmax"
    with pytest.raises(ShapeError, match=r"units must have shape \(..., 7\)"):
        LABELLED.mean(jnp.zeros((2, 6)))


def test_label_scores_are_the_conditional_of_the_joint():
    rbm = RBM(7, 3, LABELLED)
    params, v = weights(rbm), all_binary(4)
    shown = np.concatenate([np.repeat(v, 3, 0), np.tile(np.eye(3), (16, 1))], 1)
    joint = log_sum(-energies(params, shown, all_binary(3)), 1).reshape(16, 3)
    want = np.exp(joint) / np.exp(joint).sum(1, keepdims=True)
    found = jax.nn.softmax(models.label_scores(rbm, params, jnp.asarray(v, "float32"), 3))
    np.testing.assert_allclose(found, want, rtol=1e-4)


def test_gibbs_sampling_leaves_the_distribution_of_the_machine():
    params = weights(SMALL)
    start = jnp.zeros((20_000, 6))
    found = jax.jit(lambda key: SMALL.gibbs(params, start, key, 60))(jax.random.key(0)).mean(0)
    np.testing.assert_allclose(found, exact_means(params)[0], atol=0.02)


def exact_means(params):
    """Means under the machine of the visible units and of their products with the hidden units."""
    v, h = all_binary(6), all_binary(4)
    log_p = -energies(params, v, h)
    p = np.exp(log_p - log_sum(log_p))
    return p.sum(1) @ v, v.T @ p @ h


def test_contrastive_divergence_comes_near_the_gradient_of_the_likelihood():
    params = weights(SMALL, 2.0, seed=1)
    patterns = all_binary(6)[[0, 7, 21, 62]]
    v = jnp.asarray(np.tile(patterns, (10_000, 1)), "float32")
    given = 1 / (1 + np.exp(-(patterns @ np.asarray(params["kernel"]) + np.asarray(params["hidden"]))))
    exact = exact_means(params)[1] - patterns.T @ given / len(patterns)

    def off(steps):
        loss = models.contrastive_divergence(SMALL, steps, sampled=True)
        found = jax.jit(jax.grad(lambda p: loss(p, {}, v, jax.random.key(2))[0]))(params)
        return np.abs(found["kernel"] - exact).max()

    errors = [off(steps) for steps in (1, 2, 32)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.015


def test_one_step_is_the_rule_of_two_statistics():
    params, v = weights(SMALL), jnp.asarray(all_binary(6)[::5], "float32")
    grads = jax.grad(lambda p: models.contrast(SMALL, p, v, v[::-1] * 0.5))(params)
    other = np.asarray(v[::-1] * 0.5)
    up = lambda v: 1 / (1 + np.exp(-(v @ np.asarray(params["kernel"]) + np.asarray(params["hidden"]))))
    want = {
        "kernel": (other.T @ up(other) - v.T @ up(np.asarray(v))) / len(v),
        "visible": (other - v).mean(0),
        "hidden": (up(other) - up(np.asarray(v))).mean(0),
    }
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grads, want)


def test_chains_that_persist_reach_the_machine_whatever_the_data():
    params, loss = weights(SMALL), models.persistent_contrastive_divergence(SMALL)
    _, state = models.init_with_chains(SMALL, 20_000)(jax.random.key(0))
    v = jnp.ones((10, 6))
    step = jax.jit(lambda state, key: loss(params, state, v, key)[1][0])
    for key in jax.random.split(jax.random.key(1), 60):
        state = step(state, key)
    np.testing.assert_allclose(state["chains"].mean(0), exact_means(params)[0], atol=0.02)


def test_wrong_widths_and_no_steps_are_refused():
    with pytest.raises(ShapeError, match=r"visible units must have shape \(..., 6\)"):
        SMALL.free_energy(weights(SMALL), jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match="steps must be at least 1"):
        models.contrastive_divergence(SMALL, 0)


def test_states_are_bits():
    np.testing.assert_array_equal(states(jnp.asarray([0, 5], "uint32"), 3), [[0, 0, 0], [1, 0, 1]])


@pytest.mark.parametrize("rbm", [RBM(6, 4), RBM(4, 6), RBM(7, 3, LABELLED)], ids=["wide", "tall", "with a label"])
def test_log_z_is_the_sum_over_all_states(rbm):
    params = weights(rbm)
    v = all_binary(rbm.visible)
    if rbm.visible_units is LABELLED:
        v = v[v[:, 4:].sum(1) == 1]
    want = log_sum(-energies(params, v, all_binary(rbm.hidden)))
    assert models.log_partition(rbm, params) == pytest.approx(want, rel=1e-5)


def test_a_machine_with_two_large_layers_has_no_exact_log_z():
    rbm = RBM(30, 25)
    with pytest.raises(ValueError, match="annealed_importance_sampling"):
        models.log_partition(rbm, weights(rbm))


@pytest.mark.parametrize("units", [BINARY, GAUSSIAN], ids=str)
def test_annealed_importance_sampling_finds_log_z_within_a_tenth_of_a_nat(units):
    # Twenty hidden units; their sum over states is exact.
    rbm = RBM(25, 20, units)
    params = weights(rbm, 0.3, seed=3)
    exact = jax.jit(lambda p: models.log_partition(rbm, p))(params)
    estimate = lambda p, key: models.annealed_importance_sampling(rbm, p, key, jnp.linspace(0, 1, 2001))
    found = jax.jit(estimate)(params, jax.random.key(0))
    assert abs(found.value - exact) < 0.1
    assert found.error < 0.1
    assert abs(found.by_chain.mean() - exact) < 0.5


def bars():
    """All pictures of horizontal bars of 3 x 3."""
    return np.repeat(all_binary(3), 3, axis=1).astype("f")


def test_fit_rbm_learns_and_goes_on_where_it_was_cut(tmp_path):
    rbm, v = RBM(9, 6, kernel_init=nn.normal(0.1)), np.tile(bars(), (10, 1))
    likelihood = lambda p: (-rbm.free_energy(p, jnp.asarray(bars())) - models.log_partition(rbm, p)).mean()
    whole = models.fit_rbm(rbm, v, epochs=30, batch=8)
    models.fit_rbm(rbm, v, epochs=10, batch=8, directory=tmp_path)
    cut = models.fit_rbm(rbm, v, epochs=30, batch=8, directory=tmp_path)
    jax.tree.map(np.testing.assert_array_equal, whole, cut)
    assert likelihood(rbm.init(jax.random.key(0))[0]) < -6.0
    assert likelihood(whole) > -4.2  # the best is -log 8 = -2.08


def test_training_is_a_pure_function_of_parameters_and_key():
    loss = models.contrastive_divergence(SMALL)
    v = jnp.asarray(all_binary(6), "float32")
    state = train.init_state(SMALL.init, models.rbm_optimizer(), 0)
    step = train.make_train_step(loss, models.rbm_optimizer())
    first, log = train.run(step, state, data.shuffled(v, 16), 4)
    again, _ = train.run(step, train.init_state(SMALL.init, models.rbm_optimizer(), 0), data.shuffled(v, 16), 4)
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    assert np.isfinite(log["error"]).all()
