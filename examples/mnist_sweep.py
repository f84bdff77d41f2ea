"""A sweep: 24 small networks on MNIST, three widths, the better third each time trained on:

python examples/mnist_sweep.py [FOLDER]
"""

import sys

import jax
import jax.numpy as jnp

from fdl import data, losses, nn, optim, train

RUN, STEPS = sys.argv[1] if len(sys.argv) > 1 else "runs/mnist_sweep", (100, 300, 900)
train_set, valid_set = data.hold_out(data.mnist().train, 10_000)
batches, valid_set = data.shuffled(train_set, batch=128, seed=0), jax.tree.map(jnp.asarray, valid_set)


def experiment(hidden=64, peak=3e-3, weight_decay=1e-2, smoothing=0.0, seed=0):
    """One run; whatever a sweep is to change is an argument."""
    model = nn.serial(nn.flatten, nn.dense(784, hidden), nn.relu, nn.dense(hidden, 10))
    optimizer = optim.adamw(optim.warmup_cosine(peak, STEPS[-1], 50), weight_decay=weight_decay)

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"] / 255)
        target = (1 - smoothing) * jax.nn.one_hot(batch["label"], 10) + smoothing / 10
        return losses.cross_entropy(logits, target).mean(), (state, {})

    def measure(state):
        logits, _ = model.apply(state.params, state.state, valid_set["image"] / 255)
        return {"error": jnp.mean((logits.argmax(-1) != valid_set["label"]).astype(float))}

    return train.make_train_step(loss_fn, optimizer), train.init_state(model.init, optimizer, seed), measure


trials = train.sample(
    24,
    seed=0,
    hidden=[32, 64, 128],
    peak=train.between(1e-4, 1e-1, log=True),
    weight_decay=train.between(1e-4, 1.0, log=True),
    smoothing=train.between(0.0, 0.2),
)
states, rows = train.sweep(experiment, trials, batches, STEPS, by="error", directory=RUN)
print(train.sweep_table(rows, by="error"))
train.draw_sweep(rows, by="error").savefig(f"{RUN}/sweep.png", dpi=80)
