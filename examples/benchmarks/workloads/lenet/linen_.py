"""In flax linen."""

import flax.linen as nn

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class LeNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.Conv(20, (5, 5), padding="VALID", name="conv0")(x)
        h = nn.max_pool(nn.relu(h), (2, 2), (2, 2))
        h = nn.Conv(50, (5, 5), padding="VALID", name="conv1")(h)
        h = nn.max_pool(nn.relu(h), (2, 2), (2, 2))
        h = nn.relu(nn.Dense(500, name="hidden")(h.reshape(len(h), -1)))
        return nn.Dense(10, name="out")(h)


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(LeNet(), loss, task)
