"""Hyper-parameters: grid, random, and giving up early.

What gradients cannot reach is searched: the number of hidden units, the learning rate, the weight decay. A *grid*
tries every combination, in the order of nested loops. *Random* trials waste nothing on a hyper-parameter that does
not matter; and their arithmetic is simple: **n of them hold one of the best 5 % with probability `1 − 0.95ⁿ`**, sixty
hold one almost surely. *Hyperband* gives many trials a little training, the best third of them three times as much,
and so on.

All of it is plain functions over a list of dicts (`train.grid`, `train.sample`, `train.search`, `train.hyperband`).
The 3 × 3 × 3 grid here is trained on 5,000 digits run by run, cut after ten and gone on with; again by two threads;
and by `train.sweep`, in three programs in which the nine runs of a size train side by side. Every way must end with the
same bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train, tree

MEAN, STD = np.float32(0.1307 * 255), np.float32(0.3081 * 255)  # of the training pixels
GRID = train.grid(hidden=[16, 64, 128], learning_rate=[0.01, 0.05, 0.25], weight_decay=[1e-5, 1e-3, 1e-1])
FINE = {"learning_rate": np.geomspace(3e-3, 1.0, 10).tolist(), "weight_decay": np.geomspace(1e-6, 1e-1, 10).tolist()}
OPTIMIZER = optim.hyper(optim.sgdw(0.1), *FINE)
STEPS, BATCH, UNIT = 500, 50, 60
DRAWN, COUNTS = 80_000, (1, 3, 5, 10, 14, 20, 30, 60)


@cache
def parts(hidden: int) -> tuple[nn.Layer, train.Step]:
    """The network of one size and its step, which serve all numbers."""
    model = nn.serial(nn.flatten, nn.dense(784, hidden, kernel_init=nn.he_normal()), nn.relu, nn.dense(hidden, 10))

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"])
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return model, train.make_train_step(loss_fn, OPTIMIZER)


def experiment_on(valid_set: data.Examples, seed: int) -> Callable:
    """experiment(**trial): how one run begins, takes a step, and is measured."""

    def experiment(hidden=64, **numbers):
        model, step = parts(hidden)

        def measure(state):
            logits, _ = model.apply(state.params, state.state, valid_set["image"])
            return {"wrong": jnp.sum(logits.argmax(-1) != valid_set["label"])}

        return step, optim.set_hyper(train.init_state(model.init, OPTIMIZER, seed), **numbers), measure

    return experiment


def digits(seed: int) -> tuple[data.Batches, data.Examples]:
    """5,000 digits to train on and 5,000 others to choose on."""
    split = data.split(data.mnist().train, 5000, 5000, seed=seed)
    scaled = [part | {"image": (part["image"].astype("f") - MEAN) / STD} for part in split]
    train_set, valid_set = (jax.tree.map(jnp.asarray, part) for part in scaled)
    return data.shuffled(train_set, BATCH, seed), valid_set


def one_by_one(experiment: Callable, batches: data.Batches) -> Callable:
    """advance(trial, steps, state): train one trial up to so many steps in all."""

    def advance(trial, steps, state=None):
        step, first, measure = experiment(**trial)
        state = first if state is None else state
        state, _ = train.run(step, state, batches, steps - int(state.step))
        return {"wrong": int(measure(state)["wrong"]), "digest": tree.digest(state.params)}, state

    return advance


def cut_after(count: int, evaluate: Callable) -> Callable:
    """The same, but the trial after so many is interrupted."""
    left = iter(range(count))

    def interrupted(trial):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return evaluate(trial)

    return interrupted


def grid_three_ways(folder: Path, experiment: Callable, batches: data.Batches) -> dict[str, float]:
    """The grid in order but cut and gone on with, by two threads, and as a sweep."""
    evaluate = lambda trial: one_by_one(experiment, batches)(trial, STEPS)[0]
    for name in ("cut", "shared"):
        (folder / f"{name}.json").unlink(missing_ok=True)
    try:
        train.search(cut_after(10, evaluate), GRID, table=folder / "cut.json")
    except KeyboardInterrupt:
        print("cut after ten trials", flush=True)
    rows = train.search(evaluate, GRID, table=folder / "cut.json")
    with ThreadPoolExecutor(2) as pool:
        train.search(evaluate, GRID, table=folder / "shared.json", map=pool.map)
    states, swept = train.sweep(experiment, GRID, batches, STEPS, by="wrong")
    return {
        "tables_equal": float((folder / "cut.json").read_bytes() == (folder / "shared.json").read_bytes()),
        "same_best": float(rows.index(rows.best("wrong")) == swept.index(swept.best("wrong"))),
        "equal_bits": float(np.mean([row["digest"] == tree.digest(one.params) for row, one in zip(rows, states)])),
        "grid_best": rows.best("wrong")["wrong"] / 50,
        "grid_worst": max(rows["wrong"]) / 50,
    }


def random_trials(wrong: np.ndarray, seed: int) -> dict[str, float]:
    """How soon random trials of a grid of 100 hold one of its best five, against the formula."""
    best = set(np.argsort(wrong, kind="stable")[:5].tolist())
    drawn = train.sample(DRAWN, seed, place=list(range(len(wrong))))
    hits = np.array([trial["place"] in best for trial in drawn])
    chances = [hits[: DRAWN // n * n].reshape(-1, n).any(1).mean() for n in COUNTS]
    apart = np.abs(np.array(chances) - (1 - 0.95 ** np.array(COUNTS))).max()
    return {"formula_apart": float(apart), "expected_trials": DRAWN / hits.sum()}


def run(seed: int, folder: Path) -> Outcome:
    """The small grid three ways, the fine grid at once, random trials of it, and Hyperband in its place."""
    batches, valid_set = digits(seed)
    experiment = experiment_on(valid_set, seed)
    figures = grid_three_ways(folder, experiment, batches)
    _, fine = train.sweep(experiment, train.grid(**FINE), batches, STEPS, by="wrong")
    wrong, advance = np.array(fine["wrong"]), one_by_one(experiment, batches)
    spaces = {name: train.between(min(each), max(each), log=True) for name, each in FINE.items()}
    by_budget = train.hyperband(
        lambda trial, budget, state: advance(trial, UNIT * budget, state),
        lambda count: train.sample(count, seed, **spaces),
        most=9,
        by="wrong",
    )
    figures |= random_trials(wrong, seed) | {
        "fine_best": wrong.min() / 50,
        "hyperband_best": by_budget.best("wrong")["wrong"] / 50,
        "hyperband_steps": UNIT * 69 / (STEPS * len(fine)),
    }
    return Outcome(figures, {"wrong": wrong.reshape(10, 10)}, STEPS)


def draw(arrays: dict[str, np.ndarray]):
    """The fine grid as a map."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.2, 4.2))
    image = axes.pcolormesh(FINE["weight_decay"], FINE["learning_rate"], arrays["wrong"] / 50, vmin=5, vmax=20)
    axes.set(xscale="log", yscale="log", xlabel="weight decay", ylabel="learning rate")
    figure.colorbar(image, label="validation error, %")
    return figure


ROW = Row(
    rows=("69",),
    title="Hyper-parameters",
    figures=(
        Figure("same_best", "the 27 runs one by one and as a sweep have the same best", "", 1.0, 1.0),
        Figure("equal_bits", "share of the 27 runs with equal bits alone and in a sweep by vmap", "", 1.0, 1.0),
        Figure(
            "tables_equal",
            "the table of a search that was cut equals, byte by byte, that of one by two threads",
            "",
            1.0,
            1.0,
        ),
        Figure(
            "formula_apart",
            "chance that n random trials hold one of the best 5 %, from 1 − 0.95ⁿ",
            "theory: 0",
            high=0.03,
        ),
        Figure("expected_trials", "random trials until one of the best 5 %, mean", "theory: 20", 19.0, 21.0),
        Figure("grid_best", "lowest validation error of the small grid, %"),
        Figure("grid_worst", "highest validation error of the small grid, %"),
        Figure("fine_best", "lowest validation error of the fine grid, %"),
        Figure("hyperband_best", "lowest validation error that Hyperband saw, %"),
        Figure("hyperband_steps", "its steps over those of the fine grid"),
    ),
    run=run,
    budget=60,
    draw=draw,
    note="Bits are equal on a CPU, with one thread, two and eight, because each run of a sweep has its own copy of the "
    "batch and sums the gradients of its biases as it would alone. With one batch for all, the products of the runs "
    "are one product, which adds up in another order; near divergence the last bits then grew to 857 wrong answers of "
    "5,000.",
)
