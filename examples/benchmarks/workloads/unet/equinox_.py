"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.workloads.unet import PLAN


class Pair(eqx.Module):
    conv0: eqx.nn.Conv2d
    conv1: eqx.nn.Conv2d

    def __init__(self, in_dim, dim, key):
        first, second = jax.random.split(key)
        self.conv0 = eqx.nn.Conv2d(in_dim, dim, 3, padding=1, key=first)
        self.conv1 = eqx.nn.Conv2d(dim, dim, 3, padding=1, key=second)

    def __call__(self, x):
        return jax.nn.relu(self.conv1(jax.nn.relu(self.conv0(x))))


class Up(eqx.Module):
    narrow: eqx.nn.Conv2d
    pair: Pair

    def __init__(self, in_dim, dim, key):
        narrow, pair = jax.random.split(key)
        self.narrow = eqx.nn.Conv2d(in_dim, dim, 3, padding=1, key=narrow)
        self.pair = Pair(in_dim, dim, pair)

    def __call__(self, x, skipped):
        larger = jax.image.resize(x, (x.shape[0], *skipped.shape[1:]), "nearest")
        return self.pair(jnp.concatenate([skipped, jax.nn.relu(self.narrow(larger))]))


class UNet(eqx.Module):
    down0: Pair
    down1: Pair
    bottom: Pair
    up1: Up
    up0: Up
    head: eqx.nn.Conv2d
    pool: eqx.nn.MaxPool2d

    def __init__(self, key):
        head, *keys = jax.random.split(key, 1 + len(PLAN))
        for key, (name, plan) in zip(keys, PLAN.items()):
            setattr(self, name, (Up if name.startswith("up") else Pair)(*plan, key))
        self.head = eqx.nn.Conv2d(16, 1, 1, key=head)
        self.pool = eqx.nn.MaxPool2d(2, 2)

    def __call__(self, x):
        first = self.down0(x)
        second = self.down1(self.pool(first))
        return self.head(self.up0(self.up1(self.bottom(self.pool(second)), second), first))


def loss(model, batch):
    first = lambda image: jnp.moveaxis(image, -1, 1)
    logits = jax.vmap(model)(first(batch["image"]))
    return optax.sigmoid_binary_cross_entropy(logits, first(batch["mask"])).mean()


def build(task):
    return trained(UNet(jax.random.key(0)), loss, task)
