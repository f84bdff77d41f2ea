"""fdl: a step, and `train.run` over examples that lie on the device."""

from collections.abc import Callable

import jax.numpy as jnp

from examples.benchmarks.harness.task import Program, Task
from fdl import data, losses, metrics, nn, optim, train, tree  # noqa: F401  all that a user's program imports

PACKAGES = ("jax",)


def optimizer_of(task: Task) -> optim.Transform:
    """The optimizer of the workload."""
    kind, learning_rate, momentum = task.workload.optimizer
    if kind == "adamw":
        return optim.adamw(learning_rate, b2=0.95, weight_decay=0.1, where=("**/kernel", "**/table"))
    return optim.adam(learning_rate) if kind == "adam" else optim.sgd(learning_rate, momentum)


def params_of(task: Task) -> dict:
    """The given weights as fdl's nested dict."""
    return tree.unflatten({path: jnp.array(leaf) for path, leaf in task.weights.items()})


def trained(model: nn.Layer, loss_fn: Callable, task: Task, read: str = "loss") -> Program:
    """Steps of training; the curve is the metric of this name."""
    optimizer = optimizer_of(task)
    step = train.make_train_step(loss_fn, optimizer)
    state = train.init_state(model.init, optimizer)._replace(params=params_of(task))
    batches = data.to_device(data.shuffled(task.examples, batch=task.workload.batch))

    def run(steps):
        nonlocal state
        state, log = train.run(step, state, batches, steps)
        return log[read].tolist()

    return run


def classifier(model: nn.Layer, task: Task) -> Program:
    """Steps of training on images and their labels, by cross-entropy."""

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(model, loss_fn, task)
