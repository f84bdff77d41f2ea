"""In flax linen."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.workloads.unet import PLAN


class Pair(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(self.dim, (3, 3), name="conv0")(x))
        return nn.relu(nn.Conv(self.dim, (3, 3), name="conv1")(x))


class Up(nn.Module):
    dim: int

    @nn.compact
    def __call__(self, x, skipped):
        larger = jax.image.resize(x, (*skipped.shape[:-1], x.shape[-1]), "nearest")
        x = nn.relu(nn.Conv(self.dim, (3, 3), name="narrow")(larger))
        return Pair(self.dim, name="pair")(jnp.concatenate([skipped, x], -1))


class UNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        pool = lambda x: nn.max_pool(x, (2, 2), (2, 2))
        part = lambda name: (Up if name.startswith("up") else Pair)(PLAN[name][1], name=name)
        first = part("down0")(x)
        second = part("down1")(pool(first))
        x = part("up1")(part("bottom")(pool(second)), second)
        return nn.Conv(1, (1, 1), name="head")(part("up0")(x, first))


def loss(model, batch):
    return optax.sigmoid_binary_cross_entropy(model(batch["image"]), batch["mask"]).mean()


def build(task):
    return trained(UNet(), loss, task)
