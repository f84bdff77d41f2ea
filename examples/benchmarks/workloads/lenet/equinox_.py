"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy


class LeNet(eqx.Module):
    conv0: eqx.nn.Conv2d
    conv1: eqx.nn.Conv2d
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear
    pool: eqx.nn.MaxPool2d

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.conv0 = eqx.nn.Conv2d(1, 20, 5, key=keys[0])
        self.conv1 = eqx.nn.Conv2d(20, 50, 5, key=keys[1])
        self.hidden = eqx.nn.Linear(800, 500, key=keys[2])
        self.out = eqx.nn.Linear(500, 10, key=keys[3])
        self.pool = eqx.nn.MaxPool2d(2, 2)

    def __call__(self, x):
        h = self.pool(jax.nn.relu(self.conv0(jnp.moveaxis(x, -1, 0))))
        h = self.pool(jax.nn.relu(self.conv1(h)))
        return self.out(jax.nn.relu(self.hidden(h.ravel())))


def loss(model, batch):
    return cross_entropy(jax.vmap(model)(batch["image"]), batch["label"])


def build(task):
    return trained(LeNet(jax.random.key(0)), loss, task)
