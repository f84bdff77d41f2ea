"""In flax nnx."""

from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Softmax(nnx.Module):
    def __init__(self, rngs):
        self.out = nnx.Linear(784, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(x.reshape(len(x), -1))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Softmax(nnx.Rngs(0)), loss, task)
