"""In haiku."""

import haiku as hk
import jax

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.separable import PLAN

ONE = [(1, 1), (1, 1)]


def norm(x, name):
    return jax.nn.relu(hk.BatchNorm(True, True, 0.9, name=name)(x, is_training=True))


def block(x, in_dim, dim, stride, name):
    with hk.name_scope(name):
        groups = {"feature_group_count": in_dim, "with_bias": False}
        x = norm(hk.Conv2D(in_dim, 3, stride, padding=ONE, **groups, name="depthwise")(x), "norm0")
        return norm(hk.Conv2D(dim, 1, with_bias=False, name="pointwise")(x), "norm1")


def loss(batch):
    x = norm(hk.Conv2D(32, 3, padding=ONE, with_bias=False, name="stem")(batch["image"]), "norm")
    for i, plan in enumerate(PLAN):
        x = block(x, *plan, f"blocks_{i}")
    return cross_entropy(hk.Linear(10, name="head")(x.mean((1, 2))), batch["label"])


def build(task):
    return trained(loss, task)
