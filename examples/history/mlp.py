"""One layer of units between input and output, y = W₂ σ(W₁ x + b₁) + b₂, sees the digits through 800 features of its
own making.  With cross-entropy on the output and nothing but stochastic gradient descent, it makes a fifth of the
mistakes of the linear classifier of row 14, which sees the pixels.

Nothing is added here: no distortions of the images, no dropout, no decay.  The rate falls along half a cosine, where
Simard et al. lowered it in steps; decisions were made on the last 5,000 training images.
"""

from pathlib import Path

import jax.numpy as jnp

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, nn, optim, train

MODEL = nn.serial(nn.flatten, nn.dense(784, 800, kernel_init=nn.he_normal()), nn.relu, nn.dense(800, 10))
EPOCHS, BATCH = 25, 100


def logits_of(params, state, batch):
    return MODEL.apply(params, state, batch["image"].astype(jnp.float32) / 255)


def loss_fn(params, state, batch, key):
    logits, state = logits_of(params, state, batch)
    return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})


def predict(params, state, batch):
    return logits_of(params, state, batch)[0], batch["label"]


def run(seed: int, folder: Path) -> Outcome:
    train_set, test_set = data.mnist()
    train_set, valid_set = data.hold_out(train_set, 5000)
    batches = data.shuffled(train_set, batch=BATCH, seed=seed)
    steps = EPOCHS * batches.steps_per_epoch
    optimizer = optim.sgd(optim.cosine(0.1, steps), momentum=0.9)
    state = train.init_state(MODEL.init, optimizer, seed)
    state, _ = train.run(train.make_train_step(loss_fn, optimizer), state, batches, steps)
    right = train.make_evaluate(predict, {"right": metrics.accuracy()})
    error = lambda examples: 100 * (1 - right(state, examples)["right"])
    return Outcome({"test_error": error(test_set), "valid_error": error(valid_set)}, steps=steps)


ROW = Row(
    rows=("5",),
    title="Multilayer perceptron",
    figures=(
        Figure("test_error", "784-800-10: % of test images wrong", "1.6 (Simard et al. 2003)", high=1.7),
        Figure("valid_error", "% of the 5,000 held-out images wrong"),
    ),
    run=run,
    budget=60,
    seeds=(0, 1, 2),
)
