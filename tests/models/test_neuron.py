"""The neuron fires when its closed forms say so; its net is differentiated through the spikes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models
from fdl.checks import ShapeError

NEURON = models.Neuron()
CURRENTS = models.rheobase(NEURON) * np.geomspace(1.05, 10, 20)


@pytest.fixture(autouse=True)
def _in_float64():
    with jax.enable_x64(True):
        yield


def spike_times(current, dt, duration):
    spikes = models.simulate(NEURON, np.broadcast_to(current, (int(duration / dt), *np.shape(current))), dt)[1]
    return [np.flatnonzero(column) for column in np.asarray(spikes).reshape(len(spikes), -1).T]


def test_the_rate_is_that_of_the_closed_form_at_20_currents(agrees):
    intervals = [np.diff(at).mean() * 0.02 for at in spike_times(CURRENTS, 0.02, 300)]
    assert len(intervals) == 20
    agrees.values(
        "models.firing_rate", "Euler's method", models.firing_rate(NEURON, CURRENTS), 1 / np.array(intervals), most=0.01
    )


def test_every_spike_is_at_the_step_that_the_recurrence_solved_by_hand_says():
    """V after n steps is R I (1 - (1 - dt/tau)^n) above rest: once that passes the gap the pause comes, and so on."""
    for dt in (0.1, 0.5):
        gap = NEURON.threshold - NEURON.rest
        climb = np.ceil(np.log(1 - gap / (NEURON.resistance * CURRENTS)) / np.log(1 - dt / NEURON.tau)).astype(int)
        period = climb + round(NEURON.refractory / dt)
        for at, first, every in zip(spike_times(CURRENTS, dt, 200), climb, period):
            np.testing.assert_array_equal(at, np.arange(first - 1, int(200 / dt), every))


def test_below_the_rheobase_it_is_silent_and_its_voltage_converges_with_order_one():
    current = 0.999 * models.rheobase(NEURON)
    assert not spike_times(current, 0.1, 1000)[0].size
    assert models.firing_rate(NEURON, current) == models.firing_rate(NEURON, models.rheobase(NEURON)) == 0
    assert models.firing_rate(NEURON, 1.001 * models.rheobase(NEURON)) > 0
    exact = NEURON.rest + NEURON.resistance * current * (1 - np.exp(-32 / NEURON.tau))
    ends = [models.simulate(NEURON, np.full(round(32 / dt), current), dt)[0][-1] for dt in (1.0, 0.5, 0.25, 0.125)]
    errors = np.abs(np.array(ends) - exact)
    np.testing.assert_allclose(errors[:-1] / errors[1:], 2, rtol=0.03)


def test_the_rate_has_finite_derivatives_on_both_sides():
    slope = jax.vmap(jax.grad(lambda current: models.firing_rate(NEURON, current)))(jnp.array([0.5, 1.4, 1.6, 3.0]))
    assert np.isfinite(slope).all()
    np.testing.assert_array_equal(slope[:2], 0)
    assert (slope[2:] > 0).all()


def test_a_spike_is_a_step_with_the_derivative_of_the_fast_sigmoid(agrees):
    above = jnp.array([-2.0, -0.1, 0.0, 1e-9, 0.3, 5.0])
    np.testing.assert_array_equal(models.spike(above), [0, 0, 0, 1, 1, 1])
    derivative = jax.vmap(jax.grad(lambda a: models.spike(a, 10.0)))(above)
    agrees.values("models.spike, derivative", "closed form", derivative, 1 / (1 + 10 * np.abs(above)) ** 2)


def test_the_spiking_net_is_the_recurrence_step_by_step(agrees):
    net = models.spiking_net(3, 8, 2, steps=6, decay=0.8)
    params = net.init(jax.random.key(0))[0]
    params = jax.tree.map(lambda leaf: 3 * leaf.astype(float), params)
    x = np.random.default_rng(0).normal(size=(4, 3))
    affine = lambda part, x: x @ np.asarray(params[part]["kernel"]) + np.asarray(params[part]["bias"])
    inner, outer, want, spikes = np.zeros((4, 8)), np.zeros((4, 2)), [], 0
    for _ in range(6):
        inner = 0.8 * inner + affine("hidden", x) - (inner > 1)
        spikes += (inner > 1).sum()
        outer = 0.8 * outer + affine("out", (inner > 1).astype(float)) - (outer > 1)
        want.append(outer)
    assert spikes > 10
    assert (np.array(want) > 1).any()
    agrees.values("models.spiking_net", "NumPy", net.apply(params, {}, x)[0], np.array(want))
    grads = jax.grad(lambda params: net.apply(params, {}, x)[0].sum())(params)
    assert np.abs(grads["hidden"]["kernel"]).max() > 0


def test_mistakes_say_what_to_do():
    with pytest.raises(ValueError, match="dt must be between 0 and tau"):
        models.simulate(NEURON, np.ones(5), 30.0)
    with pytest.raises(ShapeError, match="first axis is time"):
        models.simulate(NEURON, 1.0, 0.1)
