"""What an asynchronous save every 100 steps costs: blocks of steps of a CNN, with and without one, in turn."""

import statistics
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from examples.mnist import CNN
from fdl import data, losses, optim, train, tree

STEPS, BATCH = 100, 100


def measured(rounds: int, folder: Path) -> dict[str, Any]:
    """The share of the throughput that the saves take: the median over pairs of neighbouring blocks, minus one."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (5000, 28, 28, 1), np.uint8)
    examples = data.to_device(data.shuffled({"image": images, "label": chance.integers(0, 10, 5000, np.int32)}, BATCH))

    def loss_fn(params, state, batch, key):
        logits, state = CNN.apply(params, state, batch["image"].astype("float32") / 255, key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.adamw(1e-3)
    step, state = train.make_train_step(loss_fn, optimizer), train.init_state(CNN.init, optimizer)
    with train.checkpoint.background(folder / "run") as writer:

        def block(saving: bool) -> float:
            nonlocal state
            start = time.perf_counter()
            if saving:
                writer.save(state)
            state, _ = step.many(state, examples, STEPS)
            jax.block_until_ready(state)
            writer.wait()
            return time.perf_counter() - start

        block(True)
        pairs = [_pair(block, first) for first in [False, True] * (rounds // 2)]
    ratios = [saved / plain for saved, plain in pairs]
    size = tree.nbytes(state._replace(key=jax.random.key_data(state.key)))
    return {
        "cost": statistics.median(ratios) - 1,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "images a second": round(STEPS * BATCH / statistics.median(plain for _, plain in pairs)),
        "bytes a save": size,
        "steps between saves": STEPS,
    }


def _pair(block: Any, saving_first: bool) -> tuple[float, float]:
    """(seconds with a save, seconds without), in this order or the other."""
    times = {saving: block(saving) for saving in (saving_first, not saving_first)}
    return times[True], times[False]
