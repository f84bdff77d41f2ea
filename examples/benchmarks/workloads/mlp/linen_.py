"""In flax linen."""

import flax.linen as nn

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Perceptron(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.Dense(800, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(10, name="out")(h)


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Perceptron(), loss, task)
