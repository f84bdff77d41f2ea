"""In equinox."""

import equinox as eqx
import jax

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class Softmax(eqx.Module):
    out: eqx.nn.Linear

    def __init__(self, key):
        self.out = eqx.nn.Linear(784, 10, key=key)

    def __call__(self, x):
        return self.out(x.ravel())


def loss(model, batch):
    return cross_entropy(jax.vmap(model)(batch["image"]), batch["label"])


def build(task):
    return trained(Softmax(jax.random.key(0)), loss, task)
