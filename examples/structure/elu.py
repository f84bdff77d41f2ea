"""The exponential linear unit: x above 0, exp(x) - 1 below, so that the mean of a unit can be 0.

A ReLU's output is never negative, so the next layer sees inputs with a mean, and its weights are pushed all one way, a
bias that learning has to work against.  The ELU goes down to -1 and stays there: its mean is nearer 0, and unlike the
leaky ReLU's its negative side does not grow with noise.  For alpha = 1 its derivative has no jump at 0.

The experiment is that of the paper: MNIST, eight layers of 128 units, plain gradient descent at 0.01, for three
activations and five seeds at once.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, inspection, losses, nn, optim, train

ACTIVATIONS = {"elu": nn.elu, "leaky": nn.lecture_leaky_relu, "relu": nn.relu}
SEEDS, DEPTH, WIDTH, EPOCHS, BATCH, RATE = 5, 8, 128, 25, 64, 0.01


def net(activation) -> nn.Layer:
    """Eight hidden layers."""
    widths = (784, *[WIDTH] * DEPTH)
    parts = {}
    for i, (wide, narrow) in enumerate(pairwise(widths)):
        parts |= {f"dense_{i}": nn.dense(wide, narrow, kernel_init=nn.he_normal()), f"act_{i}": activation}
    return nn.serial(nn.flatten, **parts, head=nn.dense(WIDTH, 10))


def mean_activation(model, image):
    """The function states -> mean over the units of all hidden layers and over images, for each seed."""

    def mean(params, state):
        seen = inspection.capture(model, "act_*", params, state, image.astype("float32") / 255)[2]
        return jnp.mean(jnp.stack([jnp.mean(y) for y in seen.values()]))

    return jax.jit(jax.vmap(mean))


def trained(activation, examples, seed):
    """Training loss of each epoch and each seed, (epochs, seeds), and the mean activations after it, of that shape."""
    model, optimizer = net(activation), optim.sgd(RATE)

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"].astype("float32") / 255, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    batches = data.shuffled(examples, batch=BATCH, seed=seed)
    step = train.swept(train.make_train_step(loss_fn, optimizer))
    states = train.init_sweep(model.init, optimizer, range(SEEDS * seed, SEEDS * (seed + 1)))
    measure = mean_activation(model, jnp.asarray(examples["image"][:1000]))
    curve, mean = [], []
    for _ in range(EPOCHS):
        states, log = train.run(step, states, batches, batches.steps_per_epoch)
        curve.append(log["loss"].mean(0))
        mean.append(np.asarray(measure(states.params, states.state)))
    return np.stack(curve), np.stack(mean), int(states.step)


def jump() -> float:
    """How much the derivative of the ELU jumps at 0, in float64."""
    with jax.enable_x64(True):
        left, right = jax.vmap(jax.grad(nn.elu))(jnp.array([-1e-9, 0.0]))
        return float(abs(right - left))


def run(seed, folder):
    examples, _ = data.hold_out(data.mnist().train, 30_000)
    found = {name: trained(f, examples, seed) for name, f in ACTIVATIONS.items()}
    size = {name: np.abs(mean[-1]) for name, (_, mean, _) in found.items()}
    curve = {name: loss[4:].mean(1) for name, (loss, _, _) in found.items()}
    figures = {f"mean_{name}": float(size[name].mean()) for name in found}
    figures |= {f"loss_{name}": float(curve[name][-1]) for name in found}
    figures["ordered"] = float(np.mean((size["elu"] < size["leaky"]) & (size["leaky"] < size["relu"])))
    figures["lowest"] = float(np.mean(curve["elu"] < np.minimum(curve["leaky"], curve["relu"])))
    figures["jump"] = jump()
    arrays = {f"{kind}_{name}": part for name, (loss, mean, _) in found.items() for kind, part in _both(loss, mean)}
    return Outcome(figures, arrays, sum(steps for _, _, steps in found.values()))


def _both(loss, mean):
    return ("loss", loss.mean(1)), ("mean", np.abs(mean).mean(1))


def draw(arrays):
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for name, style in zip(ACTIVATIONS, ("-", "--", ":")):
        epoch = np.arange(1, 1 + len(arrays[f"loss_{name}"]))
        panels[0].plot(epoch, arrays[f"loss_{name}"], style, label=name)
        panels[1].plot(epoch, arrays[f"mean_{name}"], style)
    panels[0].set(yscale="log", xlabel="epoch")
    panels[0].set_title("training cross-entropy", fontsize=9, loc="left")
    panels[1].set(xlabel="epoch")
    panels[1].set_title("|mean activation|", fontsize=9, loc="left")
    panels[0].legend(frameon=False)
    return figure


CLEVERT = "Clevert et al. 2016, fig. 3 (recalled)"
ROW = Row(
    rows=("30",),
    title="ELU: activations with mean zero",
    figures=(
        Figure("ordered", "share of seeds with |mean activation| ELU < leaky < ReLU at the end", CLEVERT, low=1),
        Figure("lowest", "share of the epochs 5 … 25 in which the ELU has the lowest training loss", CLEVERT, low=1),
        Figure("mean_elu", "|mean activation|, ELU"),
        Figure("mean_leaky", "|mean activation|, leaky ReLU of slope 0.1"),
        Figure("mean_relu", "|mean activation|, ReLU"),
        Figure("loss_elu", "training cross-entropy of the last epoch, ELU"),
        Figure("loss_leaky", "training cross-entropy of the last epoch, leaky ReLU"),
        Figure("loss_relu", "training cross-entropy of the last epoch, ReLU"),
        Figure("jump", "jump of the derivative at 0 for alpha = 1, float64", "0", high=1e-8),
    ),
    run=run,
    budget=150,
    draw=draw,
    note="The first 30,000 digits.  Five seeds trained side by side, each figure over all of them.  The training "
    "loss is that of an epoch's steps.  The paper's CIFAR figures (6.55 and 24.28 %) are not repeated here.",
)
