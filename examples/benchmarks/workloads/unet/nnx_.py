"""In flax nnx."""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.workloads.unet import PLAN


class Pair(nnx.Module):
    def __init__(self, in_dim, dim, rngs):
        self.conv0 = nnx.Conv(in_dim, dim, (3, 3), rngs=rngs)
        self.conv1 = nnx.Conv(dim, dim, (3, 3), rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.conv1(nnx.relu(self.conv0(x))))


class Up(nnx.Module):
    def __init__(self, in_dim, dim, rngs):
        self.narrow = nnx.Conv(in_dim, dim, (3, 3), rngs=rngs)
        self.pair = Pair(in_dim, dim, rngs)

    def __call__(self, x, skipped):
        larger = jax.image.resize(x, (*skipped.shape[:-1], x.shape[-1]), "nearest")
        return self.pair(jnp.concatenate([skipped, nnx.relu(self.narrow(larger))], -1))


class UNet(nnx.Module):
    def __init__(self, rngs):
        self.down0, self.down1 = Pair(*PLAN["down0"], rngs), Pair(*PLAN["down1"], rngs)
        self.bottom = Pair(*PLAN["bottom"], rngs)
        self.up1, self.up0 = Up(*PLAN["up1"], rngs), Up(*PLAN["up0"], rngs)
        self.head = nnx.Conv(16, 1, (1, 1), rngs=rngs)

    def __call__(self, x):
        pool = lambda x: nnx.max_pool(x, (2, 2), (2, 2))
        first = self.down0(x)
        second = self.down1(pool(first))
        return self.head(self.up0(self.up1(self.bottom(pool(second)), second), first))


def loss(model, batch):
    return optax.sigmoid_binary_cross_entropy(model(batch["image"]), batch["mask"]).mean()


def build(task):
    return trained(UNet(nnx.Rngs(0)), loss, task)
