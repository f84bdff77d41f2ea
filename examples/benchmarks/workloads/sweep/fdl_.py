"""In fdl: the learning rate in the state, the step under vmap."""

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
    first = train.init_state(net.init, optimizer)
    own = train.TrainState(step=None, key=None, params=0, state=0, opt_state=0)  # which parts each run has for itself
    step = train.Step(jax.vmap(train.make_train_step(loss_fn, optimizer).pure, (own, None), (own, 0)))
    state = first._replace(
        params=jax.tree.map(lambda leaf: jnp.stack([leaf] * COUNT), params_of(task)),
        opt_state=jax.vmap(lambda rate: optim.set_hyper(first.opt_state, learning_rate=rate))(jnp.array(RATES)),
    )
    batches = data.to_device(data.shuffled(task.examples, batch=task.workload.batch))

    def run(steps):
        nonlocal state
        state, log = train.run(step, state, batches, steps)
        return log["loss"].mean(-1).tolist()

    return run
