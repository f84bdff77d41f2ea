"""The leaky integrate-and-fire neuron, its firing rate in closed form, and a net of such neurons that learns.

A spike has the derivative zero almost everywhere; a net of spikes learns by that of a softer curve, the surrogate.
Lapicque 1907; Neftci, Mostafa and Zenke 2019, Surrogate Gradient Learning in Spiking Neural Networks,
https://arxiv.org/abs/1901.09948
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_shape
from fdl.nn import Layer, dense, layer, wire


class Neuron(NamedTuple):
    """tau V' = rest - V + resistance I.  At the threshold it spikes, and stays at rest for the refractory time.

    In ms, mV and megaohms, so that currents are in nA.
    """

    tau: float = 20.0
    rest: float = -65.0
    threshold: float = -50.0
    resistance: float = 10.0
    refractory: float = 2.0


def rheobase(neuron: Neuron) -> float:
    """The current in nA, above which the neuron fires."""
    return (neuron.threshold - neuron.rest) / neuron.resistance


def firing_rate(neuron: Neuron, current: ArrayLike) -> jax.Array:
    """Spikes per ms under a constant current in nA: 0 up to the rheobase.  (shape) -> (shape)"""
    drive, gap = neuron.resistance * jnp.asarray(current), neuron.threshold - neuron.rest
    fires = drive > gap
    drive = jnp.where(fires, drive, 2 * gap)  # any drive that fires: the other branch must have finite derivatives
    return jnp.where(fires, 1 / (neuron.refractory + neuron.tau * jnp.log(drive / (drive - gap))), 0)


def simulate(neuron: Neuron, current: ArrayLike, dt: float) -> tuple[jax.Array, jax.Array]:
    """Voltage in mV and spikes after each Euler step of dt ms.  (steps, ...) in nA -> (steps, ...), bool (steps, ...)

    The refractory time is rounded to whole steps.  Raises ValueError unless 0 < dt < tau.
    """
    if not 0 < dt < neuron.tau:
        raise ValueError(f"dt must be between 0 and tau = {neuron.tau} ms, got {dt}")
    require_shape(current, None, ..., name="current", hint="its first axis is time")
    current = jnp.asarray(current, float)
    gap, pause = neuron.threshold - neuron.rest, round(neuron.refractory / dt)

    def step(carried, now):
        above, waiting = carried  # mV above rest, and steps of rest to come
        driven = above + dt / neuron.tau * (neuron.resistance * now - above)
        above = jnp.where(waiting > 0, 0, driven)
        spikes = above >= gap
        above = jnp.where(spikes, 0, above)
        waiting = jnp.where(spikes, pause, jnp.maximum(waiting - 1, 0))
        return (above, waiting), (neuron.rest + above, spikes)

    start = jnp.zeros_like(current[0]), jnp.zeros(current.shape[1:], jnp.int32)
    return jax.lax.scan(step, start, current)[1]


def spike(above: jax.Array, slope: float = 25.0) -> jax.Array:
    """1 where above > 0, 0 elsewhere, with the derivative 1 / (1 + slope |above|)², that of the fast sigmoid.

    (shape) -> same shape.  Zenke and Ganguli 2018, SuperSpike, https://arxiv.org/abs/1705.11146
    """
    soft = above / (1 + slope * jnp.abs(above))
    return (above > 0).astype(above.dtype) + (soft - jax.lax.stop_gradient(soft))


@layer
def spiking_net(
    in_dim: int, hidden_dim: int, out_dim: int, *, steps: int = 25, decay: float = 0.95, slope: float = 25.0
) -> Layer:
    """Two layers of leaky integrate-and-fire neurons under a constant input: the voltages of the last, step by step.

    (batch, in_dim) -> (steps, batch, out_dim)

    In units of the threshold above rest; a spike takes 1 off the voltage.  decay is exp(-dt / tau).
    """

    def forward(x, hidden, out):
        current = hidden(x)  # the same at every step

        def step(voltages, _):
            inner = _integrate(voltages[0], current, decay)
            outer = _integrate(voltages[1], out(spike(inner - 1, slope)), decay)
            return (inner, outer), outer

        rest = jnp.zeros_like(current), jnp.zeros((len(x), out_dim), current.dtype)
        return jax.lax.scan(step, rest, length=steps)[1]

    return wire(forward, hidden=dense(in_dim, hidden_dim), out=dense(hidden_dim, out_dim))


def _integrate(voltage: jax.Array, current: jax.Array, decay: float) -> jax.Array:
    """The next voltage, one threshold less where the neuron has spiked; that jump passes no gradient."""
    spiked = jax.lax.stop_gradient(voltage > 1).astype(voltage.dtype)
    return decay * voltage + current - spiked
