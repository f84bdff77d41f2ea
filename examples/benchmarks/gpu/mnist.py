"""MNIST to 99.4 % of the test images on one GPU:  python -m examples.benchmarks.gpu.mnist [--seeds 3] [--validate]

The settings were chosen on the last 5,000 training images (--validate); the test set is opened at the end of a run.
Prints JSON.
"""

import argparse
import json
import time

import jax
import jax.numpy as jnp

from fdl import data, losses, metrics, nn, optim, train, tree

EPOCHS, BATCH, SHIFT, PEAK = 16, 500, 2, 4e-3
MEAN, STD = 0.1307 * 255, 0.3081 * 255  # of the training pixels


def stage(in_dim: int, dim: int) -> nn.Layer:
    """Two convolutions with batch norm, then half the pixels.  (batch, height, width, in_dim) -> (..., dim)"""
    conv = lambda in_dim: nn.conv(in_dim, dim, 3, use_bias=False, kernel_init=nn.he_normal())
    return nn.serial(
        *(conv(in_dim), nn.batch_norm(dim), nn.relu), *(conv(dim), nn.batch_norm(dim), nn.relu), nn.max_pool(2)
    )


def network(dim: int = 32) -> nn.Layer:
    """Three stages, each twice as wide as the one before.  (batch, 28, 28, 1) -> logits (batch, 10)"""
    return nn.serial(
        *(stage(1, dim), stage(dim, 2 * dim), stage(2 * dim, 4 * dim)),
        *(nn.flatten, nn.dropout(0.3), nn.dense(9 * 4 * dim, 10)),
    )


def shifted(key: jax.Array, image: jax.Array, most: int) -> jax.Array:
    """Each image moved by up to `most` pixels along both axes; their margins are empty.  (batch, height, width, 1)"""
    by = jax.random.randint(key, (len(image), 2), -most, most + 1)
    return jax.vmap(lambda image, by: jnp.roll(image, by, (0, 1)))(image, by)


def program(model: nn.Layer, steps: int) -> tuple:
    """(step, evaluate, optimizer) for a run of so many steps."""

    def logits_of(params, state, image, **mode):
        image = ((image.astype("float32") - MEAN) / STD).astype("bfloat16")
        return model.apply(tree.cast(params, "bfloat16"), state, image, **mode)

    def loss_fn(params, state, batch, key):
        noise_key, shift_key = jax.random.split(key)
        image = shifted(shift_key, batch["image"], SHIFT)
        logits, state = logits_of(params, state, image, key=noise_key, train=True)
        return losses.cross_entropy(logits, batch["label"], smoothing=0.1).mean(), (state, {})

    def predict(params, state, batch):
        return logits_of(params, state, batch["image"])[0], batch["label"]

    rate = optim.one_cycle(PEAK, steps, max(steps // 5, 1))
    optimizer = optim.chain(optim.adamw(rate, weight_decay=0.05), optim.average_params(0.98))
    return (
        train.make_train_step(loss_fn, optimizer),
        train.make_evaluate(predict, {"correct": metrics.correct()}),
        optimizer,
    )


def correct(evaluate, state: train.TrainState, examples: dict) -> float:
    """The part of the examples that the averaged parameters get right."""
    averaged = state._replace(params=optim.averaged(state.opt_state, state.params))
    return evaluate(averaged, examples, batch=5000)["correct"] / len(examples["label"])


def race(model: nn.Layer, examples: dict, held_out: dict, *, seeds: int, epochs: int, batch: int = BATCH) -> list[dict]:
    """One row a seed.  Compilation is paid before the first: some steps and one evaluation of another state."""
    steps = epochs * data.shuffled(examples, batch).steps_per_epoch
    step, evaluate, optimizer = program(model, steps)

    def trained(seed, steps):
        state = train.init_state(model.init, optimizer, seed=seed)
        start = time.perf_counter()
        state, _ = train.run(step, state, data.shuffled(examples, batch, seed=seed), steps)
        jax.block_until_ready(state)
        return state, time.perf_counter() - start

    start = time.perf_counter()
    correct(evaluate, trained(seeds, min(steps, step.length))[0], held_out)
    rows: list[dict] = [{"compile_seconds": time.perf_counter() - start}]
    for seed in range(seeds):
        state, seconds = trained(seed, steps)
        accuracy = correct(evaluate, state, held_out)
        rows.append({"seed": seed, "steps": steps, "seconds": seconds, "accuracy": accuracy})
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--validate", action="store_true", help="measure on the images held out, not on the test set")
    options = parser.parse_args()
    full, test_set = data.mnist()
    train_set, valid_set = data.hold_out(full, 5000)
    held_out = valid_set if options.validate else test_set
    rows = race(network(), train_set, held_out, seeds=options.seeds, epochs=options.epochs)
    print(json.dumps({"epochs": options.epochs, "batch": BATCH, "validate": options.validate, "runs": rows}))


if __name__ == "__main__":
    main()
