"""A neuron adds up what comes in, forgets slowly, and fires when there is enough.

The voltage of its membrane leaks back to rest with a time constant τ and is driven by the current that flows in: `τ
V' = V_rest - V + R I`. Once it reaches the threshold, the neuron spikes, falls back to rest and is deaf for a short
while. Below a certain current, the rheobase, it never fires; above, it fires at a rate that can be written down: `1
/ (t_ref + τ ln(R I / (R I - gap)))`. The picture shows the voltage under a current that grows, and the rate that was
simulated on the curve of that formula.

Nets of such neurons can be trained. A spike is a step, whose derivative is zero almost everywhere, so the backward
pass pretends that the step was a soft one (a surrogate gradient). Here 1,000 such neurons look for 25 steps at a
digit, each pixel being a constant current, and the ten neurons behind them vote by their mean voltage.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, models, optim, train

NEURON = models.Neuron()
net = models.spiking_net(784, 1000, 10, steps=25)


def run(seed: int, folder: Path) -> Outcome:
    with jax.enable_x64(True):
        currents = models.rheobase(NEURON) * np.geomspace(1.05, 10, 20)
        measured, exact = simulated_rate(currents), np.asarray(models.firing_rate(NEURON, currents))
        ramp = np.linspace(0, 3, 6000)
        voltage, spikes = models.simulate(NEURON, ramp, 0.05)
        figures = {
            "rate_error": 100 * float(np.max(np.abs(measured / exact - 1))),
            "silent": int(models.simulate(NEURON, jnp.full(100_000, 0.999 * models.rheobase(NEURON)), 0.01)[1].sum()),
            "order": order_of_euler(),
        }
    accuracy, steps = spiking_accuracy(seed)
    arrays = {"currents": currents, "measured": measured, "ramp": ramp}
    arrays |= {"voltage": np.where(spikes, 20, voltage)}  # a spike is drawn as high as it would be
    return Outcome(figures | {"accuracy": accuracy}, arrays, steps)


def simulated_rate(currents: np.ndarray, dt: float = 0.01, duration: float = 1000.0) -> np.ndarray:
    """Spikes per ms between the first and the last of them."""
    _, spikes = models.simulate(NEURON, jnp.broadcast_to(currents, (int(duration / dt), len(currents))), dt)
    times = [np.flatnonzero(column) * dt for column in np.asarray(spikes).T]
    return np.array([(len(at) - 1) / (at[-1] - at[0]) for at in times])


def order_of_euler(current: float = 1.0, until: float = 32.0) -> float:
    """The power of the step with which the error of the voltage falls, below the rheobase where all is smooth."""
    steps = 2.0 ** np.arange(0, -6, -1)
    exact = NEURON.rest + NEURON.resistance * current * (1 - np.exp(-until / NEURON.tau))
    ends = [models.simulate(NEURON, jnp.full(round(until / dt), current), dt)[0][-1] for dt in steps]
    return float(np.polyfit(np.log(steps), np.log(np.abs(np.array(ends) - exact)), 1)[0])


def spiking_accuracy(seed: int) -> tuple[float, int]:
    """Test accuracy in percent of the spiking net after one epoch of MNIST, and its steps."""
    train_set, test_set = data.mnist()

    def voltages(params, state, batch):
        image = batch["image"].reshape(-1, 784).astype("float32") / 255
        return net.apply(params, state, image)

    def loss_fn(params, state, batch, key):
        voltage, state = voltages(params, state, batch)
        labels = jnp.broadcast_to(batch["label"], voltage.shape[:2])
        return losses.cross_entropy(voltage, labels).sum(0).mean(), (state, {})

    def predict(params, state, batch):
        return voltages(params, state, batch)[0].mean(0), batch["label"]

    batches = data.shuffled(train_set, batch=128, seed=seed)
    optimizer = optim.adam(5e-4)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(net.init, optimizer, seed)
    state, _ = train.run(step, state, batches, batches.steps_per_epoch)
    measure = train.make_evaluate(predict, {"accuracy": metrics.accuracy()})
    return 100 * measure(state, test_set, batch=500)["accuracy"], batches.steps_per_epoch


def draw(arrays: dict[str, np.ndarray]):
    import matplotlib.pyplot as plt

    canvas, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    left.plot(np.arange(len(arrays["ramp"])) * 0.05, arrays["voltage"], linewidth=0.8)
    left.axhline(NEURON.threshold, color="grey", linestyle=":")
    left.set(title="a current that grows from 0 to 3 nA", xlabel="ms", ylabel="voltage, mV")
    fine = np.linspace(0, arrays["currents"].max(), 400)
    right.plot(fine, 1000 * np.asarray(models.firing_rate(NEURON, fine)), label="closed form")
    right.plot(arrays["currents"], 1000 * arrays["measured"], ".", label="simulated")
    right.set(title="how fast it fires", xlabel="current, nA", ylabel="spikes per second")
    right.legend()
    return canvas


ROW = Row(
    rows=("1",),
    title="The neuron: threshold and spike",
    figures=(
        Figure("rate_error", "largest error of the firing rate at 20 currents, in %", "closed form", high=1),
        Figure("silent", "spikes in a second, at 99.9 % of the rheobase", "0, closed form", low=0, high=0),
        Figure("order", "order of Euler's method, from step sizes 1 to 1/32 ms", "1, theory", low=0.95, high=1.05),
        Figure(
            "accuracy", "MNIST test accuracy in % of the spiking net, 1 epoch", "94–97, tutorials, recalled", low=93
        ),
    ),
    run=run,
    budget=90,
    seeds=(0, 1, 2),
    draw=draw,
)
