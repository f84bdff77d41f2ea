"""In haiku."""

import haiku as hk

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


def loss(batch):
    x = batch["image"]
    return cross_entropy(hk.Linear(10, name="out")(x.reshape(len(x), -1)), batch["label"])


def build(task):
    return trained(loss, task)
