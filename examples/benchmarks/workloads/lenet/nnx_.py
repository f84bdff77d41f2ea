"""In flax nnx."""

from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class LeNet(nnx.Module):
    def __init__(self, rngs):
        self.conv0 = nnx.Conv(1, 20, (5, 5), padding="VALID", rngs=rngs)
        self.conv1 = nnx.Conv(20, 50, (5, 5), padding="VALID", rngs=rngs)
        self.hidden = nnx.Linear(800, 500, rngs=rngs)
        self.out = nnx.Linear(500, 10, rngs=rngs)

    def __call__(self, x):
        h = nnx.max_pool(nnx.relu(self.conv0(x)), (2, 2), (2, 2))
        h = nnx.max_pool(nnx.relu(self.conv1(h)), (2, 2), (2, 2))
        return self.out(nnx.relu(self.hidden(h.reshape(len(h), -1))))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(LeNet(nnx.Rngs(0)), loss, task)
