"""Testing a model, extra-careful: what a number on a test set is worth, and how it is made worthless.

A test set measures once. Whoever looks, changes something and looks again has begun to train on it; so decisions are
made on validation data or by folds, and the test set lies behind a **ledger** that opens it once. Before that: is any
test item also a training item? After that: how sure is the number? 9,810 right of 10,000 is an interval, not a point
(Wilson's); a difference of two models is judged by the items on which they differ (McNemar's test); any other
statistic by drawing the items again (the bootstrap). An interval at 95 % is a promise that can be checked, by
simulation: of 2,000 made-up test sets about 95 of 100 must hold the truth.

A network is also asked how sure it is. Trained for long it becomes too sure; **one number, the temperature**, fitted
on validation data, mends that without changing a single answer. And five seeds averaged are usually better than one.
What the test says here is sobering: after eight epochs there was hardly anything to mend, and neither the temperature
nor the average makes a difference that ten thousand digits can show. That, too, is a result. Last, a run leaves a
golden file: made again, it must give the same bits.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train

MEAN, STD = 0.1307 * 255, 0.3081 * 255  # of the training pixels
MODEL = nn.serial(nn.flatten, nn.dense(784, 256, kernel_init=nn.he_normal()), nn.relu, nn.dense(256, 10))
SEEDS, EPOCHS, BATCH = 5, 8, 100
SETS, ITEMS, TRUTH = 2000, 500, 0.93
DECAYS, FOLDS = (0.0, 0.1, 1.0), 5


def logits_of(params, state, batch):
    return MODEL.apply(params, state, (batch["image"].astype("float32") - MEAN) / STD)


def loss_fn(params, state, batch, key):
    logits, state = logits_of(params, state, batch)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


def coverage(seed: int) -> dict[str, float]:
    """The share of made-up test sets whose interval holds the truth."""
    random = np.random.default_rng(seed)
    low, high = metrics.wilson_interval(random.binomial(ITEMS, TRUTH, SETS), ITEMS)
    sets = random.gamma(2.0, 1.0, (SETS, 200))  # losses, say: skewed, mean 2
    found = [metrics.bootstrap_interval(values, draws=400, seed=i) for i, values in enumerate(sets)]
    return {
        "wilson_coverage": 100 * float(np.mean((low <= TRUTH) & (high >= TRUTH))),
        "bootstrap_coverage": 100 * float(np.mean([low <= 2.0 <= high for low, high in found])),
    }


def trained(train_set: data.Examples, seeds: range, decay: float, epochs: int) -> tuple[train.TrainState, dict]:
    """Networks of several seeds, trained at once."""
    batches = data.shuffled(train_set, BATCH, seeds.start)
    steps = epochs * batches.steps_per_epoch
    optimizer = optim.adamw(optim.cosine(1e-3, steps), weight_decay=decay)
    state = train.init_sweep(MODEL.init, optimizer, list(seeds))
    return train.run(train.swept(train.make_train_step(loss_fn, optimizer)), state, batches, steps)


all_logits = jax.jit(jax.vmap(lambda params, batch: logits_of(params, {}, batch)[0], (0, None)))


def predictions(state: train.TrainState, examples: data.Examples) -> jax.Array:
    """The logits of each run.  (runs, n, 10)"""
    parts = [all_logits(state.params, part) for part, _ in data.in_order(examples, len(examples["label"]) // 5)]
    return jnp.concatenate(parts, axis=1)[:, : len(examples["label"])]  # without the padding of the last part


def right(logits: jax.Array, examples: data.Examples) -> np.ndarray:
    return np.asarray(logits.argmax(-1)) == examples["label"]


def choose_decay(train_set: data.Examples, seed: int) -> tuple[float, list[float]]:
    """The weight decay with the fewest errors over the folds of 10,000 training digits."""
    few, _ = data.split(train_set, 10_000, 1, seed=seed)
    errors = []
    for decay in DECAYS:
        folds = data.k_folds(few, FOLDS, seed=seed)
        shares = []
        for rest, held in folds:
            state, _ = trained(rest, range(seed, seed + 1), decay, 3)
            shares.append(1 - right(predictions(state, held)[0], held).mean())
        errors.append(float(np.mean(shares)))
    return DECAYS[int(np.argmin(errors))], errors


def run(seed: int, folder: Path) -> Outcome:
    """Simulated coverage; then one careful test on MNIST."""
    figures = coverage(seed)
    full, sealed = data.mnist()
    figures["duplicates"] = len(data.duplicates(full["image"], sealed["image"]))
    planted = np.concatenate([sealed["image"][:1000], full["image"][777:778]])
    figures["planted"] = float(data.duplicates(full["image"], planted).tolist() == [[777, 1000]])
    train_set, valid_set = data.hold_out(full, 5000)
    decay, by_folds = choose_decay(train_set, seed)
    figures["decay"], figures["fold_error"] = decay, 100 * min(by_folds)
    state, log = trained(train_set, range(SEEDS * seed, SEEDS * (seed + 1)), decay, EPOCHS)
    valid_logits = predictions(state, valid_set)
    temperatures = [metrics.fit_temperature(logits, valid_set["label"]) for logits in valid_logits]
    pooled = metrics.fit_temperature(metrics.ensemble_logits(valid_logits), valid_set["label"])

    test_set = data.open_once(sealed, folder / "ledger.json", purpose="the figures of row 70")
    figures |= on_the_test_set(predictions(state, test_set), test_set, temperatures, pooled)
    figures["refused"] = refused(test_set, folder / "ledger.json")
    figures["golden"] = golden(train_set, seed, folder / "golden.json")
    return Outcome(figures, {"loss": log["loss"].mean(1)}, EPOCHS * 550)


def on_the_test_set(logits: jax.Array, test_set, temperatures: list[float], pooled: float) -> dict[str, float]:
    """All that is read off the one look: errors, intervals, the test of one seed against five, calibration."""
    together = metrics.ensemble_logits(logits)
    one, five = right(logits[0], test_set), right(together, test_set)
    interval = metrics.wilson_interval(five.sum(), len(five))
    difference = metrics.bootstrap_interval(100 * (five.astype(float) - one), draws=2000)
    error = lambda logits: 100 * float(metrics.expected_calibration_error()(logits, test_set["label"]))
    return {
        "one_error": 100 * float(1 - one.mean()),
        "ensemble_error": 100 * float(1 - five.mean()),
        "ensemble_low": 100 * (1 - interval.high),
        "ensemble_high": 100 * (1 - interval.low),
        "gain_low": difference.low,
        "gain_high": difference.high,
        "mcnemar_p": metrics.mcnemar(five, one).p_value,
        "calibration_before": float(np.mean([error(each) for each in logits])),
        "calibration_after": float(np.mean([error(each / t) for each, t in zip(logits, temperatures)])),
        "ensemble_calibration": error(together / pooled),
        "temperature": float(np.mean(temperatures)),
    }


def refused(test_set: data.Examples, ledger: Path) -> float:
    """Whether the ledger refuses a second look."""
    try:
        data.open_once(test_set, ledger, purpose="one more look")
    except data.OpenedError as error:
        print(error, flush=True)
        return 1.0
    return 0.0


def golden(train_set: data.Examples, seed: int, path: Path) -> float:
    """Whether a short run, made twice, is the same bit by bit."""
    few, _ = data.split(train_set, 2000, 1, seed=seed)
    state, log = trained(few, range(2), 0.1, 1)
    train.write_golden(path, state, loss=float(log["loss"][-1].mean()))
    state, log = trained(few, range(2), 0.1, 1)
    try:
        train.check_golden(path, state, loss=float(log["loss"][-1].mean()))
    except train.GoldenError as error:
        print(error, flush=True)
        return 0.0
    return 1.0


ROW = Row(
    rows=("70",),
    title="Testing your model",
    figures=(
        Figure(
            "wilson_coverage", "Wilson's 95 % intervals that hold the truth, of 2,000 sets of 500, %", "95", 93.0, 97.0
        ),
        Figure(
            "bootstrap_coverage",
            "bootstrap intervals that hold the mean, of 2,000 sets of 200 skewed values, %",
            "95",
            93.0,
            97.0,
        ),
        Figure("refused", "a second opening of the test set is refused", "", 1.0, 1.0),
        Figure("planted", "a training digit put into the test set is found, and nothing else", "", 1.0, 1.0),
        Figure("duplicates", "images of MNIST that are in both its parts"),
        Figure("golden", "a run made twice gives the same bits", "", 1.0, 1.0),
        Figure("decay", "weight decay chosen by five folds"),
        Figure("fold_error", "its error over the folds of 10,000 digits, %"),
        Figure("one_error", "784-256-10, one seed, test error, %"),
        Figure("ensemble_error", "five seeds averaged, test error, %"),
        Figure("ensemble_low", "Wilson's interval of that error, low end, %"),
        Figure("ensemble_high", "Wilson's interval of that error, high end, %"),
        Figure("gain_low", "what five seeds gain, points: paired bootstrap, low end"),
        Figure("gain_high", "what five seeds gain, points: paired bootstrap, high end"),
        Figure("mcnemar_p", "McNemar's p for five seeds against one"),
        Figure(
            "calibration_before", "expected calibration error of one seed, mean of five, %", "Guo 2017: it is too sure"
        ),
        Figure("calibration_after", "the same after temperature scaling, %"),
        Figure("ensemble_calibration", "that of the five averaged, after temperature scaling, %"),
        Figure("temperature", "temperature fitted on validation digits, mean of five", "Guo 2017: above 1"),
    ),
    run=run,
    budget=150,
    note="The ledger lies in the folder of the run: to run this row again from the start takes `--fresh`.",
)
