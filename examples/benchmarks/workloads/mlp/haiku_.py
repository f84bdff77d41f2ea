"""In haiku."""

import haiku as hk
import jax

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


def loss(batch):
    x = batch["image"]
    h = jax.nn.relu(hk.Linear(800, name="hidden")(x.reshape(len(x), -1)))
    return cross_entropy(hk.Linear(10, name="out")(h), batch["label"])


def build(task):
    return trained(loss, task)
