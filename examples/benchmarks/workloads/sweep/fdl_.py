"""In fdl: learning rates in the state, one for each run."""

import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import params_of
from examples.benchmarks.workloads.sweep import COUNT, HIDDEN, RATES
from fdl import data, losses, nn, optim, train


def model():
    return nn.serial(nn.flatten, hidden=nn.dense(784, HIDDEN), relu=nn.relu, out=nn.dense(HIDDEN, 10))


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        logits, state = net.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    optimizer = optim.hyper(optim.adam(), "learning_rate")
    step = train.swept(train.make_train_step(loss_fn, optimizer))
    state = train.init_sweep(net.init, optimizer, seeds=[0] * COUNT, learning_rate=RATES)
    state = state._replace(params=jax.tree.map(lambda leaf: jnp.stack([leaf] * COUNT), params_of(task)))
    batches = data.to_device(data.shuffled(task.examples, batch=task.workload.batch))

    def run(steps):
        nonlocal state
        state, log = train.run(step, state, batches, steps)
        return log["loss"].mean(-1).tolist()

    return run
