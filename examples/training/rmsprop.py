"""RMSProp: `sign(g) ≈ g / √⟨g²⟩`, with a size that changes slowly.

Divide a gradient by its own size and its sign is left: RProp. RMSProp divides by the root of a *running mean* of
squares, `r ← ρr + (1 − ρ)g²`, so that the gradients of neighbouring batches are divided by the same number and still
average. Hinton's example: nine gradients of +0.1, then one of −0.9, and so on. Their sum is zero. Signs drift by
eight steps in ten, **RMSProp stays where it is**. With ρ = 0 it is sign descent again.

The lecture's box puts Nesterov's momentum on top: the gradient is taken at `θ̃ = θ + αv`, then `v ← αv − (ε/√r) ⊙ g`
and `θ ← θ + v`. First plain RMSProp trains a network to the end here, with a rate that falls. Then both race at
constant rates, the best of four each, until 2 % of the validation digits are wrong. The race is in batches of 5,000:
**momentum pays where curvature holds the rate down**. Where the noise of small batches does, a velocity is only a
larger rate by another name, and the race ends even.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train

MEAN, STD = 0.1307 * 255, 0.3081 * 255  # of the training pixels
SEEDS = 2
MLP = nn.serial(nn.flatten, nn.dense(784, 512, kernel_init=nn.he_normal()), nn.relu, nn.dense(512, 10))
EPOCHS, BATCH = 8, 100
SMALL = nn.serial(nn.flatten, nn.dense(784, 256, kernel_init=nn.he_normal()), nn.relu, nn.dense(256, 10))
RATES = {"rmsprop": (1e-3, 2e-3, 4e-3, 8e-3), "momentum": (2e-4, 4e-4, 8e-4, 1.6e-3)}
RACE, RACE_BATCH, LOOK, GOAL = 600, 5000, 10, 0.02


def drift(optimizer: optim.Transform, rate: float) -> float:
    """How far ten gradients, nine of +0.1 and one of −0.9, move a weight, in steps; after 10,000 of them."""

    def step(carry, k):
        x, state = carry
        updates, state = optimizer.update(jnp.where(k % 10 == 9, -0.9, 0.1), state, x)
        x = optim.apply_updates(x, updates)
        return (x, state), x

    x = jnp.zeros((), float)
    path = np.asarray(jax.lax.scan(step, (x, optimizer.init(x)), jnp.arange(10_000))[1])
    return float(path[-1] - path[-11]) / rate


def loss_of(model: nn.Layer):
    """The loss_fn of a classifier of digits."""

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, (batch["image"].astype("float32") - MEAN) / STD)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return loss_fn


def errors_of(model: nn.Layer):
    """The function of a sweep and examples to the share of wrong answers of each run, (runs,)."""

    def wrong(params, state, batch):
        logits, _ = model.apply(params, state, (batch["image"].astype("float32") - MEAN) / STD)
        return jnp.mean((logits.argmax(-1) != batch["label"]).astype(float))

    both = jax.jit(jax.vmap(wrong, (0, 0, None)))

    def errors(state, examples):
        parts = [both(state.params, state.state, part) for part, _ in data.in_order(examples, 1000)]
        return np.mean(parts, axis=0)

    return errors


def to_the_end(train_set, test_set, seed: int) -> np.ndarray:
    """The test errors of SEEDS networks under plain RMSProp with a rate that falls."""
    batches = data.shuffled(train_set, BATCH, seed)
    optimizer = optim.rmsprop(optim.cosine(1e-3, EPOCHS * batches.steps_per_epoch))
    state = train.init_sweep(MLP.init, optimizer, [SEEDS * seed + each for each in range(SEEDS)])
    step = train.swept(train.make_train_step(loss_of(MLP), optimizer))
    state, _ = train.run(step, state, batches, EPOCHS * batches.steps_per_epoch)
    return errors_of(MLP)(state, test_set)


def race(name: str, train_set, valid_set, seed: int) -> np.ndarray:
    """Validation errors every LOOK steps, (looks, rates, SEEDS), until the first rate is at the goal."""
    make = {"rmsprop": optim.rmsprop(1e-3), "momentum": optim.rmsprop_momentum(1e-3)}[name]
    optimizer = optim.hyper(make, "learning_rate")
    runs = [(rate, each) for rate in RATES[name] for each in range(SEEDS)]
    rates, seeds = zip(*runs)
    state = train.init_sweep(SMALL.init, optimizer, [SEEDS * seed + each for each in seeds], learning_rate=rates)
    step, errors, found = train.swept(train.make_train_step(loss_of(SMALL), optimizer)), errors_of(SMALL), []
    batches = data.shuffled(train_set, RACE_BATCH, seed)
    for _ in range(RACE // LOOK):
        state, _ = train.run(step, state, batches, LOOK)
        found.append(errors(state, valid_set).reshape(-1, SEEDS))
        if found[-1].mean(-1).min() <= GOAL:
            break
    return np.array(found)


def run(seed: int, folder: Path) -> Outcome:
    """Hinton's example in float64, then the digits."""
    with jax.enable_x64(True):
        figures = {
            "sign_drift": drift(optim.rmsprop(1e-3, decay=0.0, eps=0.0), 1e-3),
            "rprop_drift": drift(optim.rprop(1e-3, bounds=(0.5e-3, 2e-3)), 1e-3),
            "rmsprop_drift": abs(drift(optim.rmsprop(1e-3, decay=0.999), 1e-3)),
        }
    full, test_set = data.mnist()
    train_set, valid_set = data.hold_out(full, 5000)
    train_set = jax.tree.map(jnp.asarray, train_set)
    figures["test_error"] = 100 * float(to_the_end(train_set, test_set, seed).mean())
    errors = {name: race(name, train_set, valid_set, seed) for name in RATES}
    for name, each in errors.items():
        last = each[-1].mean(-1)
        steps = LOOK * len(each) if last.min() <= GOAL else np.inf
        figures |= {f"{name}_steps": steps, f"{name}_rate": RATES[name][int(last.argmin())]}
    figures["speed_up"] = figures["momentum_steps"] / figures["rmsprop_steps"]
    return Outcome(figures, errors, EPOCHS * 550 + LOOK * sum(map(len, errors.values())))


def draw(arrays: dict[str, np.ndarray]):
    """The validation errors of the race, mean over the seeds, at the best rate and thinly at the others."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.6, 3.2))
    for name, label, color in (("rmsprop", "RMSProp", "tab:blue"), ("momentum", "with momentum", "tab:orange")):
        errors = 100 * arrays[name].mean(-1)
        lines = axes.plot(LOOK * np.arange(1, len(errors) + 1), errors, color=color, linewidth=0.5)
        best = int(errors[-1].argmin())
        lines[best].set(linewidth=2, label=f"{label}, rate {RATES[name][best]:g}")
    axes.axhline(100 * GOAL, color="grey", linewidth=1)
    axes.set(xlabel="step", ylabel="validation error, %", ylim=(1.5, 8))
    axes.legend()
    return figure


ROW = Row(
    rows=("64", "65"),
    title="RMSProp, and with momentum",
    figures=(
        Figure(
            "sign_drift",
            "drift of sign descent by ten gradients that sum to 0, in steps",
            "−8 by counting",
            -8.01,
            -7.99,
        ),
        Figure("rprop_drift", "drift of RProp, in its first steps", "Hinton, lecture 6e: it drifts", high=-8.0),
        Figure(
            "rmsprop_drift", "size of the drift of RMSProp, ρ = 0.999, in steps", "Hinton, lecture 6e: none", high=0.1
        ),
        Figure(
            "test_error", "784-512-10, RMSProp with a falling rate, test error, mean of two networks, %", "", high=1.9
        ),
        Figure("speed_up", "steps with momentum over steps without, to 2 % validation error", "", high=0.7),
        Figure("rmsprop_steps", "steps of RMSProp to 2 %, 784-256-10, batches of 5,000, best constant rate"),
        Figure("momentum_steps", "steps of RMSProp with momentum 0.9"),
        Figure("rmsprop_rate", "the best rate of RMSProp"),
        Figure("momentum_rate", "the best rate with momentum"),
    ),
    run=run,
    budget=300,
    draw=draw,
    note="In batches of 100 and of 1,000 the race ends even: with momentum 0.9 at a tenth of the rate RMSProp follows "
    "the path of RMSProp without (1,700 and 220 steps each). Cut for time: two networks, eight epochs; the steps are "
    "counted on the validation digits that chose the rates.",
)
