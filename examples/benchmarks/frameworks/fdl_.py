"""fdl: a step, and `train.run` over examples that lie on the device."""

from collections.abc import Callable

import jax.numpy as jnp

from examples.benchmarks.harness.task import Program, Task
from fdl import data, losses, metrics, nn, optim, train, tree  # noqa: F401  all that a user's program imports
from fdl.compile import compile

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


class Training:
    """A run that goes on by so many steps at each call; the curve is the metric `read`."""

    def __init__(self, model: nn.Layer, loss_fn: Callable, task: Task, read: str):
        optimizer = optimizer_of(task)
        self.step, self.read = train.make_train_step(loss_fn, optimizer), read
        self.state = train.init_state(model.init, optimizer)._replace(params=params_of(task))
        self.batches = data.to_device(data.shuffled(task.examples, batch=task.workload.batch))

    def __call__(self, steps: int) -> list[float]:
        """The metric of each of the next steps."""
        self.state, log = train.run(self.step, self.state, self.batches, steps)
        return log[self.read].tolist()

    def compiled(self):
        """One step as XLA compiled it, to be asked what it costs."""
        return compile(self.step.pure).lower(self.state, self.batches(jnp.int32(0))).compile()


def trained(model: nn.Layer, loss_fn: Callable, task: Task, read: str = "loss") -> Training:
    """Steps of training; the curve is the metric of this name."""
    return Training(model, loss_fn, task, read)


def classifier(model: nn.Layer, task: Task) -> Program:
    """Steps of training on images and their labels, by cross-entropy."""

    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["image"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return trained(model, loss_fn, task)
