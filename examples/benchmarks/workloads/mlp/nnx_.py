"""In flax nnx."""

from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Perceptron(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(784, 800, rngs=rngs)
        self.out = nnx.Linear(800, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x.reshape(len(x), -1))))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Perceptron(nnx.Rngs(0)), loss, task)
