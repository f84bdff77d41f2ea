"""Two layers are enough in theory; thirty were out of reach in practice, for decades.  Each layer hands a gradient down
multiplied by its Jacobian.  Where its kernels are drawn as was common, U(±1/√n), a tanh layer shrinks a gradient to
about 1/√3 of its length, and what arrives thirty layers down is a ten-millionth: the lower layers never learn.

The cure is to let something pass unchanged.  A *residual* block adds to its input, a *highway* block has a gate that
decides what to let through, *batch normalisation* gives every layer inputs of one size again.  All four stacks here
have the same kernels and the same training; `gradient_norms` shows what arrives where.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from examples.course.row import Figure, Outcome, Row
from fdl import data, losses, metrics, models, optim, train
from fdl.inspection import gradient_norms

DEPTH, DIM, BATCH, EPOCHS = 30, 50, 100, 3
BLOCKS = {
    "plain": models.plain_block(DIM),
    "residual": models.residual_block(DIM),
    "highway": models.highway_block(DIM, gate_bias=-4.0),
    "batch_norm": models.normalised_block(DIM),
}


def pixels(batch) -> jax.Array:
    return batch["image"].reshape(-1, 784).astype(jnp.float32) / 255


def arriving(model, params, state, batch) -> np.ndarray:
    """The length of the gradient that arrives at each block, from the first to the last.  (DEPTH,)"""
    loss = lambda logits: losses.cross_entropy(logits, batch["label"]).mean()
    find = lambda params: gradient_norms(model, "blocks/block", params, state, pixels(batch), loss=loss, train=True)
    return np.asarray(jax.jit(find)(params)["blocks/block"])


def trained(block, train_set, seed: int) -> tuple:
    """(model, the state after EPOCHS of stochastic gradient descent with momentum)."""
    model = models.deep_classifier(block, 784, DIM, DEPTH, 10)

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, pixels(batch), train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    batches = data.shuffled(train_set, batch=BATCH, seed=seed)
    steps = EPOCHS * batches.steps_per_epoch
    optimizer = optim.sgd(optim.cosine(0.02, steps), momentum=0.9)
    state = train.init_state(model.init, optimizer, seed)
    return model, train.run(train.make_train_step(loss_fn, optimizer), state, batches, steps)[0]


def run(seed: int, folder: Path) -> Outcome:
    train_set, test_set = data.mnist()
    train_set, _ = data.hold_out(train_set, 5000)
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[:BATCH]), train_set)
    figures, arrays, steps = {}, {}, 0
    for name, block in BLOCKS.items():
        model, state = trained(block, train_set, seed)
        predict = lambda params, state, batch, model=model: (
            model.apply(params, state, pixels(batch))[0],
            batch["label"],
        )
        right = train.make_evaluate(predict, {"right": metrics.accuracy()})(state, test_set)["right"]
        figures[f"{name}_right"], steps = 100 * right, int(state.step)
        params, carried = model.init(jax.random.key(seed))
        arrays[name] = arriving(model, params, carried, first)
        figures[f"{name}_ratio"] = np.log10(arrays[name][0] / arrays[name][-1])
    return Outcome(figures, arrays, steps)


def draw(arrays: dict):
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for name, norms in arrays.items():
        axis.semilogy(np.arange(1, DEPTH + 1), norms, label=name.replace("_", " "))
    axis.set(xlabel="block", ylabel="length of the gradient", title="what arrives at each block before training")
    axis.legend()
    return figure


PUBLIC = "in a public NumPy run on 6,000 images"

ROW = Row(
    rows=("8",),
    title="Too deep: plain and gated stacks",
    figures=(
        Figure("plain_right", "30 plain tanh layers: % of test images right", f"12.4 {PUBLIC}", high=20),
        Figure("residual_right", "30 residual blocks: % right", low=92),
        Figure("highway_right", "30 highway blocks: % right", f"92.6 {PUBLIC}", low=92),
        Figure("batch_norm_right", "30 normalised layers: % right", low=92),
        Figure("plain_ratio", "plain: log10 of the gradient at the first block over that at the last, untrained"),
        Figure("residual_ratio", "residual: the same"),
        Figure("highway_ratio", "highway: the same"),
        Figure("batch_norm_ratio", "batch norm: the same"),
    ),
    run=run,
    budget=80,
    draw=draw,
)
