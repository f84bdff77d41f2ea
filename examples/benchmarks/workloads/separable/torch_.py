"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.separable import PLAN


class Block(nn.Module):
    def __init__(self, in_dim, dim, stride):
        super().__init__()
        self.depthwise = nn.Conv2d(in_dim, in_dim, 3, stride, 1, groups=in_dim, bias=False)
        self.norm0 = nn.BatchNorm2d(in_dim)
        self.pointwise = nn.Conv2d(in_dim, dim, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(dim)

    def forward(self, x):
        x = self.norm0(self.depthwise(x)).relu()
        return self.norm1(self.pointwise(x)).relu()


class Separable(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32)
        self.blocks = nn.Sequential(*(Block(*plan) for plan in PLAN))
        self.head = nn.Linear(256, 10)

    def forward(self, x):
        x = self.blocks(self.norm(self.stem(x)).relu())
        return self.head(x.mean((2, 3)))


def loss(model, batch):
    return F.cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Separable(), loss, task)
