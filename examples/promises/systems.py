"""Four small systems that are killed: noise, carried state, averages and schedules, a scan over layers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from fdl import data, losses, nn, optim, train


class System(NamedTuple):
    """A model, its optimizer as a function of the number of steps, and its examples."""

    model: nn.Layer
    optimizer: Callable[[int], optim.Transform]
    examples: Callable[[], dict[str, np.ndarray]]


def images() -> dict[str, np.ndarray]:
    """256 images of noise in 10 classes.  x (256, 8, 8, 1), label (256,)"""
    chance = np.random.default_rng(0)
    return {"x": chance.normal(size=(256, 8, 8, 1)).astype(np.float32), "label": chance.integers(0, 10, 256, np.int32)}


def sentences() -> dict[str, np.ndarray]:
    """256 sequences of 12 tokens of 10, each to be told its first.  x, label (256, 12)"""
    tokens = np.random.default_rng(0).integers(0, 10, (256, 12), np.int32)
    return {"x": tokens, "label": np.repeat(tokens[:, :1], 12, axis=1)}


SYSTEMS = {
    "mlp with dropout": System(
        nn.serial(nn.flatten, nn.dense(64, 32), nn.relu, nn.dropout(0.3), nn.dense(32, 10)),
        lambda steps: optim.adam(1e-3),
        images,
    ),
    "cnn with batch norm": System(
        nn.serial(nn.conv(1, 8, 3), nn.batch_norm(8), nn.relu, nn.max_pool(2), nn.flatten, nn.dense(128, 10)),
        lambda steps: optim.sgd(0.05, 0.9),
        images,
    ),
    "transformer with average and schedule": System(
        nn.serial(
            nn.embedding(10, 16), nn.learned_position(12, 16), nn.encoder_block(16, 2, rate=0.1), head=nn.dense(16, 10)
        ),
        lambda steps: optim.chain(
            optim.adamw(optim.warmup_cosine(1e-3, steps, steps // 4)), optim.average_params(0.99)
        ),
        sentences,
    ),
    "scan over layers": System(
        nn.serial(
            *(nn.flatten, nn.dense(64, 16)),
            nn.repeat(nn.residual(nn.serial(nn.layer_norm(16), nn.dense(16, 16), nn.gelu, nn.dropout(0.1))), 4),
            nn.dense(16, 10),
        ),
        lambda steps: optim.lion(1e-3),
        images,
    ),
}


def training(system: System, steps: int) -> tuple[train.Step, Any, data.Batches]:
    """Step, first state and batches."""

    def loss_fn(params, state, batch, key):
        logits, state = system.model.apply(params, state, batch["x"], key=key, train=True)
        loss = losses.cross_entropy(logits, batch["label"]).mean()
        return loss, (state, {"largest": jnp.max(jnp.abs(logits))})

    optimizer = system.optimizer(steps)
    step = train.make_train_step(loss_fn, optimizer)
    return step, train.init_state(system.model.init, optimizer, seed=0), data.shuffled(system.examples(), 16, seed=1)
