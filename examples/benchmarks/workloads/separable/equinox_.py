"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.equinox_ import batched, trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.separable import PLAN


def norm(dim):
    return eqx.nn.BatchNorm(dim, axis_name="batch", mode="batch", momentum=0.9)


class Block(eqx.Module):
    depthwise: eqx.nn.Conv2d
    norm0: eqx.nn.BatchNorm
    pointwise: eqx.nn.Conv2d
    norm1: eqx.nn.BatchNorm

    def __init__(self, in_dim, dim, stride, key):
        first, second = jax.random.split(key)
        self.depthwise = eqx.nn.Conv2d(in_dim, in_dim, 3, stride, 1, groups=in_dim, use_bias=False, key=first)
        self.pointwise = eqx.nn.Conv2d(in_dim, dim, 1, use_bias=False, key=second)
        self.norm0, self.norm1 = norm(in_dim), norm(dim)

    def __call__(self, x, state):
        x, state = self.norm0(self.depthwise(x), state)
        x, state = self.norm1(self.pointwise(jax.nn.relu(x)), state)
        return jax.nn.relu(x), state


class Separable(eqx.Module):
    stem: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    blocks: list[Block]
    head: eqx.nn.Linear

    def __init__(self, key):
        stem, head, *blocks = jax.random.split(key, 2 + len(PLAN))
        self.stem, self.norm = eqx.nn.Conv2d(3, 32, 3, 1, 1, use_bias=False, key=stem), norm(32)
        self.blocks = [Block(*plan, key) for plan, key in zip(PLAN, blocks)]
        self.head = eqx.nn.Linear(256, 10, key=head)

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
    model, state = eqx.nn.make_with_state(Separable)(jax.random.key(0))
    return trained(model, loss, task, carried=state)
