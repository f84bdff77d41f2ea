"""Hyper-parameters: grid, random, and giving up early.

What gradients cannot reach is searched: the number of hidden units, the learning rate, the weight decay. A *grid*
tries every combination, in the order of nested loops. *Random* trials waste nothing on a hyper-parameter that does
not matter; and their arithmetic is simple: **n of them hold one of the best 5 % with probability `1 − 0.95ⁿ`**, sixty
hold one almost surely. *Hyperband* gives many trials a little training, the best third of them three times as much,
and so on.

All of it is plain functions over a list of dicts (`train.grid`, `train.sample`, `train.search`, `train.hyperband`).
The 3 × 3 × 3 grid here is trained on 5,000 digits run by run, cut after ten and gone on with; again by two threads;
and as three programs in which all nine runs of a size train at once (`train.swept`). The best must be the same all
ways, and of an exact sweep every bit.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, nn, optim, train, tree

MEAN, STD = np.float32(0.1307 * 255), np.float32(0.3081 * 255)  # of the training pixels
HIDDEN, STEERED = (16, 64, 128), ("learning_rate", "weight_decay")
GRID = train.grid(hidden=HIDDEN, learning_rate=(0.01, 0.05, 0.25), weight_decay=(1e-5, 1e-3, 1e-1))
FINE = {"learning_rate": np.geomspace(3e-3, 1.0, 10).tolist(), "weight_decay": np.geomspace(1e-6, 1e-1, 10).tolist()}
OPTIMIZER = optim.hyper(optim.sgdw(0.1), *STEERED)
STEPS, BATCH, UNIT = 500, 50, 60
DRAWN, COUNTS = 80_000, (1, 3, 5, 10, 14, 20, 30, 60)


def model_of(hidden: int) -> nn.Layer:
    return nn.serial(nn.flatten, nn.dense(784, hidden, kernel_init=nn.he_normal()), nn.relu, nn.dense(hidden, 10))


def step_of(hidden: int) -> train.Step:
    def loss_fn(params, state, batch, key):
        logits, state = model_of(hidden).apply(params, state, batch["image"])
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return train.make_train_step(loss_fn, OPTIMIZER)


STEP_OF = {hidden: step_of(hidden) for hidden in HIDDEN}


@partial(jax.jit, static_argnums=0)
def count_wrong(hidden, params, examples):
    logits, _ = model_of(hidden).apply(params, {}, examples["image"])
    return jnp.sum(logits.argmax(-1) != examples["label"])


def result(hidden: int, params: Any, valid_set: data.Examples) -> dict[str, Any]:
    return {"wrong": int(count_wrong(hidden, params, valid_set)), "digest": tree.digest(params)}


def digits(seed: int) -> tuple[data.Batches, data.Examples]:
    """5,000 digits to train on and 5,000 others to choose on."""
    parts = data.split(data.mnist().train, 5000, 5000, seed=seed)
    scaled = [part | {"image": (part["image"].astype("f") - MEAN) / STD} for part in parts]
    train_set, valid_set = (jax.tree.map(jnp.asarray, part) for part in scaled)
    return data.shuffled(train_set, BATCH, seed), valid_set


def one_by_one(batches: data.Batches, valid_set: data.Examples, seed: int) -> Callable:
    """advance(trial, steps, state): train one trial up to so many steps in all."""

    def advance(trial, steps, state=None):
        hidden = trial.get("hidden", 64)
        if state is None:
            state = train.init_state(model_of(hidden).init, OPTIMIZER, seed)
            state = optim.set_hyper(state, **{name: trial[name] for name in STEERED})
        state, _ = train.run(STEP_OF[hidden], state, batches, steps - int(state.step))
        return result(hidden, state.params, valid_set), state

    return advance


def all_at_once(
    trials: list[train.Trial], batches: data.Batches, valid_set: data.Examples, seed: int, *, exact: bool = False
) -> train.History:
    """The rows of trials of one size, trained as one program."""
    hidden = trials[0].get("hidden", 64)
    values = {name: each for name, each in train.columns(trials).items() if name in STEERED}
    state = train.init_sweep(model_of(hidden).init, OPTIMIZER, [seed] * len(trials), **values)
    state, _ = train.run(train.swept(STEP_OF[hidden], exact=exact), state, batches, STEPS)
    each = [train.run_of(state, i).params for i in range(len(trials))]
    return train.History(trial | result(hidden, params, valid_set) for trial, params in zip(trials, each))


def cut_after(count: int, evaluate: Callable) -> Callable:
    """The same, but the trial after so many is interrupted."""
    left = iter(range(count))

    def interrupted(trial):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return evaluate(trial)

    return interrupted


def grid_three_ways(folder: Path, batches: data.Batches, valid_set: data.Examples, seed: int) -> dict[str, float]:
    """The grid in order but cut and gone on with, by two threads, and as three sweeps of either kind."""
    evaluate = lambda trial: one_by_one(batches, valid_set, seed)(trial, STEPS)[0]
    for name in ("cut", "shared"):
        (folder / f"{name}.json").unlink(missing_ok=True)
    try:
        train.search(cut_after(10, evaluate), GRID, table=folder / "cut.json")
    except KeyboardInterrupt:
        print("cut after ten trials", flush=True)
    rows = train.search(evaluate, GRID, table=folder / "cut.json")
    with ThreadPoolExecutor(2) as pool:
        train.search(evaluate, GRID, table=folder / "shared.json", map=pool.map)
    groups = [[trial for trial in GRID if trial["hidden"] == hidden] for hidden in HIDDEN]
    swept, exact = (
        train.History(row for group in groups for row in all_at_once(group, batches, valid_set, seed, exact=exact))
        for exact in (False, True)
    )
    return {
        "tables_equal": float((folder / "cut.json").read_bytes() == (folder / "shared.json").read_bytes()),
        "same_best": float(rows.best("wrong") | {"digest": ""} == swept.best("wrong") | {"digest": ""}),
        "most_apart": float(max(abs(a["wrong"] - b["wrong"]) for a, b in zip(rows, swept))),
        "equal_bits": float(np.mean([a["digest"] == b["digest"] for a, b in zip(rows, swept)])),
        "exact_bits": float(np.mean([a["digest"] == b["digest"] for a, b in zip(rows, exact)])),
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
    figures = grid_three_ways(folder, batches, valid_set, seed)
    fine = all_at_once(train.grid(**FINE), batches, valid_set, seed)
    wrong = np.array(fine["wrong"])
    advance = one_by_one(batches, valid_set, seed)
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
        Figure("same_best", "the 27 runs one by one and as three sweeps have the same best", "", 1.0, 1.0),
        Figure("exact_bits", "share of the 27 runs with equal bits alone and in an exact sweep", "", 1.0, 1.0),
        Figure("equal_bits", "share of the 27 runs with equal bits alone and in a sweep by vmap", "", 1.0, 1.0),
        Figure("most_apart", "wrong answers of 5,000 by which a run alone and by vmap differ, most"),
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
    budget=120,
    draw=draw,
    note="By vmap the products of all runs are one product, which adds up in another order: the last bits differ from "
    "the first step on, and at rates near divergence so does the end. An exact sweep computes the runs in turn.",
)
