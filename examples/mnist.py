"""Three classics on MNIST:  python examples/mnist.py --model softmax|mlp|cnn [--seeds 3] [--epochs N] [--record FILE]

Design decisions are made on the last 5,000 training images; the test set is opened once per run, at its end.
"""

import argparse
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fdl import data, losses, metrics, nn, optim, train, tree


class Recipe(NamedTuple):
    """A model and how it is trained; pass_error is the mean test error over seeds to reach, in percent."""

    model: nn.Layer
    optimizer: Callable[[int], optim.Transform]  # of the number of steps
    epochs: int
    batch: int
    pass_error: float
    shift: int = 0  # training images move by up to this many pixels


SOFTMAX = nn.serial(nn.flatten, nn.dense(784, 10, kernel_init=nn.zeros()))
MLP = nn.serial(nn.flatten, nn.dense(784, 800, kernel_init=nn.he_normal()), nn.relu, nn.dense(800, 10))
CNN = nn.serial(
    *(nn.conv(1, 32, 3, kernel_init=nn.he_normal()), nn.batch_norm(32), nn.relu, nn.max_pool(2)),
    *(nn.conv(32, 64, 3, kernel_init=nn.he_normal()), nn.batch_norm(64), nn.relu, nn.max_pool(2)),
    *(nn.flatten, nn.dropout(0.2), nn.dense(7 * 7 * 64, 128, kernel_init=nn.he_normal()), nn.relu),
    *(nn.dropout(0.2), nn.dense(128, 10)),
)

RECIPES = {
    "softmax": Recipe(SOFTMAX, lambda steps: optim.adam(optim.cosine(2e-3, steps)), 30, 250, 7.8),
    "mlp": Recipe(MLP, lambda steps: optim.sgd(optim.cosine(0.1, steps), momentum=0.9), 30, 100, 1.7),
    "cnn": Recipe(CNN, lambda steps: optim.adamw(optim.cosine(2e-3, steps), weight_decay=1e-2), 8, 100, 0.8, shift=2),
}


def shifted(key: jax.Array, image: jax.Array, most: int) -> jax.Array:
    """Each image moved by up to `most` pixels along both axes; their margins are empty.  (batch, height, width, 1)"""
    by = jax.random.randint(key, (len(image), 2), -most, most + 1)
    return jax.vmap(lambda image, by: jnp.roll(image, by, (0, 1)))(image, by)


def train_once(recipe: Recipe, epochs: int, seed: int, folder: Path) -> dict:
    """One run, gone on with where it was cut: test error in percent, steps, seconds of training, their speed."""
    full, test_set = data.mnist()
    train_set, valid_set = data.hold_out(full, 5000)
    mean, std = 0.1307 * 255, 0.3081 * 255  # of the training pixels

    def logits_of(params, state, batch, **mode):
        return recipe.model.apply(params, state, (batch["image"].astype("float32") - mean) / std, **mode)

    def loss_fn(params, state, batch, key):
        noise_key, shift_key = jax.random.split(key)
        moved = batch | {"image": shifted(shift_key, batch["image"], recipe.shift)} if recipe.shift else batch
        logits, state = logits_of(params, state, moved, key=noise_key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    def predict(params, state, batch):
        return logits_of(params, state, batch)[0], batch["label"]

    batches = data.shuffled(train_set, batch=recipe.batch, seed=seed)
    optimizer = recipe.optimizer(epochs * batches.steps_per_epoch)
    step = train.make_train_step(loss_fn, optimizer)
    measure = train.make_evaluate(predict, {"correct": metrics.correct()})
    state = train.init_state(recipe.model.init, optimizer, seed=seed)
    validate = lambda state: measure(state, valid_set)
    state, history = train.fit(step, state, batches, epochs=epochs, evaluate=validate, directory=folder)
    seconds = sum(history["seconds"])
    result = {
        "seed": seed,
        "test_correct": measure(state, test_set)["correct"],
        "valid_correct": history[-1]["correct"],
        "steps": int(state.step),
        "seconds": round(seconds, 1),
        "examples_per_second": round(int(state.step) * recipe.batch / seconds),
        "params_sha256": tree.digest(state.params),
    }
    print(
        f"seed {seed}: test {result['test_correct']}/10000 ", *(f"{name} {result[name]}" for name in list(result)[2:6])
    )
    return result


def main() -> None:
    """Run the seeds, print the mean beside the pass figure, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=RECIPES, required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--record", type=Path, help="write the result as JSON")
    options = parser.parse_args()
    recipe = RECIPES[options.model]
    print(f"device {jax.devices()[0].device_kind}, jax {jax.__version__}\n{recipe.model}")
    epochs = options.epochs or recipe.epochs
    folder = Path("runs") / "mnist" / f"{options.model}_{epochs}"
    runs = [train_once(recipe, epochs, seed, folder / f"seed_{seed}") for seed in range(options.seeds)]
    error = np.mean([(10000 - run["test_correct"]) / 100 for run in runs])
    print(f"{options.model}: test error {error:.2f} %, mean of {len(runs)} seeds; to reach: {recipe.pass_error} %")
    if options.record:
        machine = {"processor": platform.machine(), "cpus": os.cpu_count(), "jax": jax.__version__}
        result = {"model": str(recipe.model), "batch": recipe.batch, "mean_test_error_percent": round(float(error), 3)}
        result |= {"pass_percent": recipe.pass_error, "machine": machine, "runs": runs}
        options.record.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
