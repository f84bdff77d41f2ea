"""What an asynchronous save every 100 steps costs: blocks of steps of a CNN, with and without one, in turn."""

import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from examples.benchmarks.overhead import CNN
from fdl import data, losses, optim, train, tree

STEPS, BATCH = 100, 32


def measured(rounds: int, folder: Path) -> dict[str, Any]:
    """How much longer a block takes with a save: the median over pairs of neighbouring blocks, minus one.

    On a busy machine the clock on the wall is noisy; the time of the processor, the writing thread's included, is not.
    """
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (5000, 28, 28, 1), np.uint8)
    examples = data.to_device(data.shuffled({"image": images, "label": chance.integers(0, 10, 5000, np.int32)}, BATCH))

    def loss_fn(params, state, batch, key):
        logits, state = CNN.apply(params, state, batch["image"].astype("float32") / 255, key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adamw(1e-3)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(CNN.init, optimizer)
    with train.checkpoint.background(folder / "run") as writer:

        def block(saving: bool) -> np.ndarray:
            nonlocal state
            start = np.array([time.perf_counter(), time.process_time()])
            if saving:
                writer.save(state)
            state, _ = step.many(state, examples, STEPS)
            jax.block_until_ready(state)
            writer.wait()
            return np.array([time.perf_counter(), time.process_time()]) - start

        block(True)
        pairs = [_pair(block, first) for first in [False, True] * (rounds // 2)]
    ratios = np.array([saved / plain for saved, plain in pairs])
    return {
        "cost": float(np.median(ratios[:, 0])) - 1,
        "cost in processor time": float(np.median(ratios[:, 1])) - 1,
        "ratios": ratios[:, 0].round(4).tolist(),
        "ratios in processor time": ratios[:, 1].round(4).tolist(),
        "images a second": round(STEPS * BATCH / float(np.median([plain[0] for _, plain in pairs]))),
        "bytes a save": tree.nbytes(state._replace(key=jax.random.key_data(state.key))),
        "steps between saves": STEPS,
        "batch": BATCH,
    }


def _pair(block: Any, saving_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """(seconds with a save, seconds without), in this order or the other."""
    times = {saving: block(saving) for saving in (saving_first, not saving_first)}
    return times[True], times[False]
