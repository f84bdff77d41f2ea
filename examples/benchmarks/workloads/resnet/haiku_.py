"""In haiku."""

import haiku as hk
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.resnet import PLAN


def conv_norm(x, dim, stride=1, conv="conv", norm="norm"):
    h = hk.Conv2D(dim, 3, stride, padding=[(1, 1), (1, 1)], with_bias=False, name=conv)(x)
    return hk.BatchNorm(True, True, 0.9, name=norm)(h, is_training=True)


def block(x, in_dim, dim, stride, name):
    with hk.name_scope(name):
        h = jax.nn.relu(conv_norm(x, dim, stride, "conv0", "norm0"))
        h = conv_norm(h, dim, 1, "conv1", "norm1")
    extra = (dim - in_dim) // 2
    return jax.nn.relu(h + jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (extra, extra))))


def loss(batch):
    x = jax.nn.relu(conv_norm(batch["image"], 16, 1, "stem", "norm"))
    for i, plan in enumerate(PLAN):
        x = block(x, *plan, f"blocks_{i}")
    return cross_entropy(hk.Linear(10, name="head")(x.mean((1, 2))), batch["label"])


def build(task):
    return trained(loss, task)
