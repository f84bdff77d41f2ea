"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.equinox_ import batched, trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.resnet import PLAN


def conv(in_dim, dim, key, stride=1):
    return eqx.nn.Conv2d(in_dim, dim, 3, stride, 1, use_bias=False, key=key)


def norm(dim):
    return eqx.nn.BatchNorm(dim, axis_name="batch", mode="batch", momentum=0.9)


class Block(eqx.Module):
    conv0: eqx.nn.Conv2d
    norm0: eqx.nn.BatchNorm
    conv1: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm
    stride: int = eqx.field(static=True)
    extra: int = eqx.field(static=True)

    def __init__(self, in_dim, dim, stride, key):
        first, second = jax.random.split(key)
        self.conv0, self.norm0 = conv(in_dim, dim, first, stride), norm(dim)
        self.conv1, self.norm1 = conv(dim, dim, second), norm(dim)
        self.stride, self.extra = stride, (dim - in_dim) // 2

    def __call__(self, x, state):
        h, state = self.norm0(self.conv0(x), state)
        h, state = self.norm1(self.conv1(jax.nn.relu(h)), state)
        x = jnp.pad(x[:, :: self.stride, :: self.stride], ((self.extra, self.extra), (0, 0), (0, 0)))
        return jax.nn.relu(h + x), state


class ResNet(eqx.Module):
    stem: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    blocks: list[Block]
    head: eqx.nn.Linear

    def __init__(self, key):
        stem, head, *blocks = jax.random.split(key, 2 + len(PLAN))
        self.stem, self.norm = conv(3, 16, stem), norm(16)
        self.blocks = [Block(*plan, key) for plan, key in zip(PLAN, blocks)]
        self.head = eqx.nn.Linear(64, 10, key=head)

    def __call__(self, x, state):
        x, state = self.norm(self.stem(jnp.moveaxis(x, -1, 0)), state)
        x = jax.nn.relu(x)
        for block in self.blocks:
            x, state = block(x, state)
        return self.head(x.mean((1, 2))), state


def loss(model, batch, state):
    logits, state = batched(model)(batch["image"], state)
    return cross_entropy(logits, batch["label"]), state


def build(task):
    model, state = eqx.nn.make_with_state(ResNet)(jax.random.key(0))
    return trained(model, loss, task, carried=state)
