"""In flax linen."""

import flax.linen as nn

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Softmax(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(10, name="out")(x.reshape(len(x), -1))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Softmax(), loss, task)
