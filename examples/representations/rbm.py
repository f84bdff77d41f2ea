"""A machine that dreams: the restricted Boltzmann machine.

Two layers of switches, each tied to all of the other layer. The energy of a picture of their states says how likely
the machine is to be found in it, so learning means to dig valleys where the data lie, and to fill those the machine
falls into by itself. The second half needs samples of the machine, and that is the whole difficulty: contrastive
divergence takes them one step away from the data, persistent contrastive divergence keeps chains of its own.

How good such a machine is can be read from the probability it gives to new data, for which its partition function Z, a
sum over all states, must be known. Sixteen hidden units can be summed out one state after the other; with five hundred,
annealed importance sampling walks from a machine without connections, whose Z is known, to the one in question, and
the weights gathered on the way estimate the ratio.
"""

from functools import partial
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, models, nn, optim, train

SIDE, HIDDEN, MACHINES = 4, 16, 10
BARS = models.RBM(SIDE**2, HIDDEN, kernel_init=nn.normal(0.1))
DIGITS = models.RBM(784, 500)
EPOCHS = 80


def bars() -> np.ndarray:
    """The four rows and four columns of a picture of 4 x 4, each as a picture of its own.  -> (8, 16)"""
    row = np.eye(SIDE, dtype="f")[:, :, None] * np.ones(SIDE, "f")
    return np.concatenate([row, row.swapaxes(1, 2)]).reshape(2 * SIDE, -1)


def pictures() -> np.ndarray:
    """All 30 pictures of bars in one direction, equally likely.  -> (30, 16)"""
    every = np.array(list(product([0, 1], repeat=SIDE)), "f")
    found = np.concatenate([every @ bars()[:SIDE], every @ bars()[SIDE:]])
    return np.unique(found, axis=0)


def learn_bars(seed: int) -> tuple[dict, np.ndarray]:
    """Ten machines at once, by CD-1: their parameters, and what each lacks in nats of what a picture can be given."""
    optimizer = optim.momentum(0.05, 0.5)
    step = train.swept(train.make_train_step(models.contrastive_divergence(BARS, sampled=True), optimizer))
    state = train.init_sweep(BARS.init, optimizer, [seed * MACHINES + i for i in range(MACHINES)])
    state, _ = train.run(step, state, data.shuffled(pictures(), 30, seed), 20_000)

    def missing(params):
        log_p = -BARS.free_energy(params, jnp.asarray(pictures())) - models.log_partition(BARS, params)
        return -log_p.mean() - jnp.log(float(len(pictures())))

    return state.params, np.asarray(jax.jit(jax.vmap(missing))(state.params))


def bars_found(kernel: np.ndarray) -> int:
    """How many bars have a hidden unit whose weights are, but for sign and mean, most of all that bar."""
    centred = lambda x: x - x.mean(-1, keepdims=True)
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    likeness = np.abs(unit(centred(bars())) @ unit(centred(np.asarray(kernel).T)).T)
    return len(set(likeness.argmax(0)[likeness.max(0) > 0.6]))


def learn_digits(x: np.ndarray, seed: int, folder: Path) -> dict:
    """An RBM with 500 hidden units by PCD, on digits whose pixels are tossed anew each time."""
    persistent = models.persistent_contrastive_divergence(DIGITS)

    def loss_fn(params, state, v, key):
        toss, chain = jax.random.split(key)
        return persistent(params, state, jax.random.bernoulli(toss, v).astype(v.dtype), chain)

    batches = data.shuffled(x, 100, seed)
    steps = EPOCHS * batches.steps_per_epoch
    optimizer = optim.sgd(optim.linear(0.05, 0.0, steps))
    state = train.init_state(models.init_with_chains(DIGITS, 100), optimizer, seed)
    step = train.make_train_step(loss_fn, optimizer)
    state, _ = train.fit(step, state, batches, epochs=EPOCHS, directory=folder, resume=True)
    return state.params


def log_likelihood(params: dict, x: np.ndarray, test: np.ndarray, seed: int) -> tuple[float, float]:
    """Mean log probability of test digits, in nats, and the standard error of log Z, by 100 chains and 14,500 steps."""
    betas = np.concatenate([np.linspace(0, 0.5, 501), np.linspace(0.5, 0.9, 4001)[1:], np.linspace(0.9, 1, 10001)[1:]])
    ink = np.clip(x.mean(0), 1e-3, 1 - 1e-3)
    base = jnp.asarray(np.log(ink / (1 - ink)))
    anneal = partial(models.annealed_importance_sampling, DIGITS, betas=jnp.asarray(betas, "float32"), base=base)
    found = jax.jit(anneal)(params, jax.random.key(seed))
    tossed = jax.random.bernoulli(jax.random.key(1), test).astype("float32")
    return float(-DIGITS.free_energy(params, tossed).mean() - found.value), float(found.error)


def dreams(params: dict, test: np.ndarray, seed: int) -> np.ndarray:
    """Where chains that began at ten test digits are after 2,000 sweeps.  -> (10, 784)"""
    seen = jax.jit(partial(DIGITS.gibbs, steps=2000))(params, jnp.asarray(test[:10]), jax.random.key(seed))
    return np.asarray(DIGITS.mean_visible(params, DIGITS.mean_hidden(params, seen)))


def run(seed: int, folder: Path) -> Outcome:
    """Bars exactly, digits by estimate."""
    params, missing = learn_bars(seed)
    found = [bars_found(kernel) for kernel in np.asarray(params["kernel"])]
    x, test = (part["image"].reshape(-1, 784).astype("f") / 255 for part in data.mnist())
    digits = learn_digits(x, seed, folder / "digits")
    likelihood, uncertain = log_likelihood(digits, x, test, seed)
    figures = {
        "bars": float(np.mean(found)),
        "bars_missing": float(missing.mean()),
        "log_likelihood": likelihood,
        "log_z_error": uncertain,
    }
    arrays = {
        "bars": np.asarray(params["kernel"][0].T),
        "features": np.asarray(digits["kernel"][:, :20].T),
        "dreams": dreams(digits, test, seed),
    }
    return Outcome(figures, arrays, EPOCHS * 600)


def draw(arrays):
    """Weights of the units that found the bars, features of digits, and what the machine dreams."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, figsize=(7.2, 3.6), height_ratios=(1, 2, 1.6))
    strips = {"bars": (1, 16), "features": (2, 10), "dreams": (1, 10)}
    for axis, (name, (rows, columns)) in zip(axes, strips.items()):
        side = int(arrays[name].shape[1] ** 0.5)
        tiles = np.pad(arrays[name].reshape(rows, columns, side, side), ((0, 0), (0, 0), (0, 1), (0, 1)))
        axis.imshow(tiles.transpose(0, 2, 1, 3).reshape(rows * (side + 1), -1), cmap="gray")
        axis.set_ylabel(name, fontsize=8)
        axis.set(xticks=[], yticks=[])
    return figure


ROW = Row(
    rows=("11",),
    title="The restricted Boltzmann machine",
    figures=(
        Figure(
            "bars", "bars of 8 that a hidden unit has found, mean of 10 machines", "8, a public reproduction", low=8.0
        ),
        Figure("bars_missing", "nats between the probability of a picture of bars and the best possible, exact"),
        Figure(
            "log_likelihood",
            "log probability of a test digit, nats, RBM-500 by PCD, Z by annealed importance sampling",
            "-86.34 with CD-25, Salakhutdinov & Murray 2008",
            low=-95.0,
        ),
        Figure("log_z_error", "standard error of log Z, nats"),
    ),
    run=run,
    budget=500,
    draw=draw,
)
