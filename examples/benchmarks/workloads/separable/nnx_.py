"""In flax nnx."""

from functools import partial

from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.separable import PLAN

Conv = partial(nnx.Conv, use_bias=False)
Norm = partial(nnx.BatchNorm, momentum=0.9)


class Block(nnx.Module):
    def __init__(self, in_dim, dim, stride, rngs):
        self.depthwise = Conv(in_dim, in_dim, (3, 3), stride, padding=1, feature_group_count=in_dim, rngs=rngs)
        self.norm0 = Norm(in_dim, rngs=rngs)
        self.pointwise = Conv(in_dim, dim, (1, 1), rngs=rngs)
        self.norm1 = Norm(dim, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm0(self.depthwise(x)))
        return nnx.relu(self.norm1(self.pointwise(x)))


class Separable(nnx.Module):
    def __init__(self, rngs):
        self.stem, self.norm = Conv(3, 32, (3, 3), padding=1, rngs=rngs), Norm(32, rngs=rngs)
        self.blocks = nnx.List([Block(*plan, rngs) for plan in PLAN])
        self.head = nnx.Linear(256, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.norm(self.stem(x)))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((1, 2)))


def loss(model, batch):
    return cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Separable(nnx.Rngs(0)), loss, task)
