"""In haiku."""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.workloads.unet import PLAN


def conv(x, dim, name):
    return jax.nn.relu(hk.Conv2D(dim, 3, name=name)(x))


def pair(x, dim, name):
    with hk.name_scope(name):
        return conv(conv(x, dim, "conv0"), dim, "conv1")


def up(x, skipped, dim, name):
    larger = jax.image.resize(x, (*skipped.shape[:-1], x.shape[-1]), "nearest")
    with hk.name_scope(name):
        return pair(jnp.concatenate([skipped, conv(larger, dim, "narrow")], -1), dim, "pair")


def loss(batch):
    pool = lambda x: hk.max_pool(x, 2, 2, "VALID")
    part = lambda name, function, *x: function(*x, PLAN[name][1], name)
    first = part("down0", pair, batch["image"])
    second = part("down1", pair, pool(first))
    x = part("up1", up, part("bottom", pair, pool(second)), second)
    logits = hk.Conv2D(1, 1, name="head")(part("up0", up, x, first))
    return optax.sigmoid_binary_cross_entropy(logits, batch["mask"]).mean()


def build(task):
    return trained(loss, task)
