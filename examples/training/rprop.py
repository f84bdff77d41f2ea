"""RProp: trust the sign of a derivative, not its size.

In a deep or saturated network one derivative is a thousand times another, and no rate suits both. RProp gives every
weight a step size of its own and looks at signs alone: as long as the sign stays the same the step grows by 1.2, when
it turns the step is halved. Multiply the loss by any number: nothing changes.

The trial is that of its paper: an encoder 10-5-10 must squeeze ten patterns through five units and restore each
output to within 0.4. Backpropagation at its best rate needs a hundred epochs and more, RProp about twenty.

It has one flaw, and it is the lecture's reason to go on to RMSProp: **signs do not average**. Of ten examples nine
pull by +0.1 and one by −0.9; over all of them the gradient is zero. One example at a time, the signs say plus nine
times of ten, and RProp walks to the median of the pulls; RMSProp, which divides by a slowly changing size, stays near
their mean.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import nn, optim

DRAW = nn.uniform(-1.0, 1.0)
MODEL = nn.serial(nn.dense(10, 5, kernel_init=DRAW), nn.sigmoid, nn.dense(5, 10, kernel_init=DRAW), nn.sigmoid)
PATTERNS = np.eye(10, dtype="f")
RUNS, PATIENCE = 50, 300


def outputs(params, state):
    return MODEL.apply(params, state, PATTERNS)[0]


def epochs(optimizer: optim.Transform, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Epochs until each of RUNS networks solves it, PATIENCE + 1 if it does not; the median loss on the way."""

    def one(key):
        params, state = MODEL.init(key)
        biases = jax.random.split(jax.random.fold_in(key, 1), 2)
        params["dense_0"]["bias"], params["dense_1"]["bias"] = DRAW(biases[0], (5,)), DRAW(biases[1], (10,))
        loss = lambda params: 0.5 * jnp.sum((outputs(params, state) - PATTERNS) ** 2)

        def epoch(carry, _):
            params, opt_state = carry
            updates, opt_state = optimizer.update(jax.grad(loss)(params), opt_state, params)
            params = optim.apply_updates(params, updates)
            return (params, opt_state), (jnp.abs(outputs(params, state) - PATTERNS).max() < 0.4, loss(params))

        solved, values = jax.lax.scan(epoch, (params, optimizer.init(params)), length=PATIENCE)[1]
        return jnp.where(solved.any(), jnp.argmax(solved) + 1, PATIENCE + 1), values

    taken, values = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(seed), RUNS))
    return np.asarray(taken), np.median(np.asarray(values), axis=0)


def distance_from_the_mean(optimizer: optim.Transform, seed: int) -> float:
    """Root mean square distance from the mean of ten examples, one in ten of which is 1 and the others 0, in turn."""
    examples = np.repeat([0.0, 1.0], [9, 1])
    order = np.random.default_rng(seed).permuted(np.tile(examples, (400, 1)), axis=1).ravel()

    def step(carry, target):
        x, state = carry
        updates, state = optimizer.update(x - target, state, x)
        x = optim.apply_updates(x, updates)
        return (x, state), x

    x = jnp.asarray(0.1, float)
    path = np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), jnp.asarray(order))[1])
    return float(np.sqrt(np.mean((path[2000:] - 0.1) ** 2)))


def run(seed: int, folder: Path) -> Outcome:
    """Fifty encoders by each of three methods, then batches of one."""
    methods = {
        "backpropagation": optim.sgd(1.9),
        "rprop_2": optim.rprop(2.0, form="rprop+"),
        "rprop_01": optim.rprop(0.1, form="rprop+"),
    }
    found = {name: epochs(optimizer, seed) for name, optimizer in methods.items()}
    medians = {f"{name}_median": float(np.median(taken)) for name, (taken, _) in found.items()}
    with jax.enable_x64(True):
        rprop = distance_from_the_mean(optim.rprop(1e-3, bounds=(1e-6, 0.05)), seed)
        rmsprop = distance_from_the_mean(optim.rmsprop(1e-3, decay=0.99), seed)
    figures = medians | {
        "backpropagation_mean": float(found["backpropagation"][0].mean()),
        "rprop_01_mean": float(found["rprop_01"][0].mean()),
        "speed_up": medians["backpropagation_median"] / medians["rprop_2_median"],
        "unsolved": float(
            sum((taken > PATIENCE).sum() for name, (taken, _) in found.items() if name != "backpropagation")
        ),
        "batches_of_one": rprop / rmsprop,
    }
    return Outcome(figures, {name: values for name, (_, values) in found.items()}, PATIENCE)


def draw(arrays: dict[str, np.ndarray]):
    """The median loss of fifty encoders."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.4))
    labels = {"backpropagation": "backpropagation, rate 1.9", "rprop_2": "RProp, Δ₀ = 2", "rprop_01": "RProp, Δ₀ = 0.1"}
    for name, label in labels.items():
        axes.semilogy(np.arange(1, 201), arrays[name][:200], label=label)
    axes.set(xlabel="epoch", ylabel="½ Σ (output − target)²", title="The 10-5-10 encoder, median of fifty")
    axes.legend()
    return figure


ROW = Row(
    rows=("63",),
    title="RProp",
    figures=(
        Figure(
            "rprop_2_median",
            "median epochs of RProp, Δ₀ = 2",
            "Riedmiller & Braun 1993: 19 (recalled); 19 [R]",
            high=26,
        ),
        Figure("rprop_01_median", "median epochs of RProp, Δ₀ = 0.1", "", high=26),
        Figure("rprop_01_mean", "mean epochs of RProp, Δ₀ = 0.1", "23.8 [R]"),
        Figure("backpropagation_median", "median epochs of backpropagation, rate 1.9"),
        Figure("backpropagation_mean", "mean epochs of backpropagation", "paper: 121 (recalled); 126 [R]"),
        Figure("speed_up", "median of backpropagation over that of RProp, Δ₀ = 2", "paper: 6.4 (recalled)", low=4.0),
        Figure("unsolved", "encoders of 100 that RProp did not solve in 300 epochs", "0 of 50 [R]"),
        Figure("batches_of_one", "distance from the mean, RProp over RMSProp, batches of one", "", low=5.0),
    ),
    run=run,
    budget=20,
    seeds=(0, 1, 2),
    draw=draw,
    note="The form is that of the paper of 1993, which takes back the step after a change of sign. Some nets never get "
    "out of saturation: with Δ₀ = 2 four or five of 50, with irprop-, which only pauses, 17 to 23. Medians count them.",
)
