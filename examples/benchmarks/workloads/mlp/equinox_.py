"""In equinox."""

import equinox as eqx
import jax

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Perceptron(eqx.Module):
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        hidden, out = jax.random.split(key)
        self.hidden = eqx.nn.Linear(784, 800, key=hidden)
        self.out = eqx.nn.Linear(800, 10, key=out)

    def __call__(self, x):
        return self.out(jax.nn.relu(self.hidden(x.ravel())))


def loss(model, batch):
    return cross_entropy(jax.vmap(model)(batch["image"]), batch["label"])


def build(task):
    return trained(Perceptron(jax.random.key(0)), loss, task)
