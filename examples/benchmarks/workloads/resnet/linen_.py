"""In flax linen."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.resnet import PLAN

Conv = partial(nn.Conv, kernel_size=(3, 3), padding=1, use_bias=False)
Norm = partial(nn.BatchNorm, use_running_average=False, momentum=0.9)


class Block(nn.Module):
    in_dim: int
    dim: int
    stride: int

    @nn.compact
    def __call__(self, x):
        h = nn.relu(Norm(name="norm0")(Conv(self.dim, strides=self.stride, name="conv0")(x)))
        h = Norm(name="norm1")(Conv(self.dim, name="conv1")(h))
        extra = (self.dim - self.in_dim) // 2
        x = jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (extra, extra)))
        return nn.relu(h + x)


class ResNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(Norm(name="norm")(Conv(16, name="stem")(x)))
        for i, plan in enumerate(PLAN):
            x = Block(*plan, name=f"blocks_{i}")(x)
        return nn.Dense(10, name="head")(x.mean((1, 2)))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(ResNet(), loss, task)
