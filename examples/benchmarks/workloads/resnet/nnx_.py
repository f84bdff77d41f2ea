"""In flax nnx."""

import jax.numpy as jnp
from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.resnet import PLAN


def conv(in_dim, dim, rngs, stride=1):
    return nnx.Conv(in_dim, dim, (3, 3), strides=stride, padding=1, use_bias=False, rngs=rngs)


def norm(dim, rngs):
    return nnx.BatchNorm(dim, momentum=0.9, rngs=rngs)


class Block(nnx.Module):
    def __init__(self, in_dim, dim, stride, rngs):
        self.conv0, self.norm0 = conv(in_dim, dim, rngs, stride), norm(dim, rngs)
        self.conv1, self.norm1 = conv(dim, dim, rngs), norm(dim, rngs)
        self.stride, self.extra = stride, (dim - in_dim) // 2

    def __call__(self, x):
        h = self.norm1(self.conv1(nnx.relu(self.norm0(self.conv0(x)))))
        x = jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (self.extra, self.extra)))
        return nnx.relu(h + x)


class ResNet(nnx.Module):
    def __init__(self, rngs):
        self.stem, self.norm = conv(3, 16, rngs), norm(16, rngs)
        self.blocks = nnx.List([Block(*plan, rngs) for plan in PLAN])
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(ResNet(nnx.Rngs(0)), loss, task)
