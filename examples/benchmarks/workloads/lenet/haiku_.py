"""In haiku."""

import haiku as hk
import jax

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


def logits(x):
    h = jax.nn.relu(hk.Conv2D(20, 5, padding="VALID", name="conv0")(x))
    h = jax.nn.relu(hk.Conv2D(50, 5, padding="VALID", name="conv1")(hk.max_pool(h, 2, 2, "VALID")))
    h = hk.Flatten()(hk.max_pool(h, 2, 2, "VALID"))
    return hk.Linear(10, name="out")(jax.nn.relu(hk.Linear(500, name="hidden")(h)))


def loss(batch):
    return cross_entropy(logits(batch["image"]), batch["label"])


def build(task):
    return trained(loss, task)
