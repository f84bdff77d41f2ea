"""In flax linen."""

from functools import partial

import flax.linen as nn

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.separable import PLAN

Conv = partial(nn.Conv, use_bias=False)
Norm = partial(nn.BatchNorm, use_running_average=False, momentum=0.9)


class Block(nn.Module):
    in_dim: int
    dim: int
    stride: int

    @nn.compact
    def __call__(self, x):
        depthwise = Conv(self.in_dim, (3, 3), self.stride, 1, feature_group_count=self.in_dim, name="depthwise")
        x = nn.relu(Norm(name="norm0")(depthwise(x)))
        return nn.relu(Norm(name="norm1")(Conv(self.dim, (1, 1), name="pointwise")(x)))


class Separable(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(Norm(name="norm")(Conv(32, (3, 3), padding=1, name="stem")(x)))
        for i, plan in enumerate(PLAN):
            x = Block(*plan, name=f"blocks_{i}")(x)
        return nn.Dense(10, name="head")(x.mean((1, 2)))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Separable(), loss, task)
