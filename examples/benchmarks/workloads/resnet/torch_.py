"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.resnet import PLAN


def conv(in_dim, dim, stride=1):
    return nn.Conv2d(in_dim, dim, 3, stride, 1, bias=False)


class Block(nn.Module):
    def __init__(self, in_dim, dim, stride):
        super().__init__()
        self.conv0, self.norm0 = conv(in_dim, dim, stride), nn.BatchNorm2d(dim)
        self.conv1, self.norm1 = conv(dim, dim), nn.BatchNorm2d(dim)
        self.stride, self.extra = stride, (dim - in_dim) // 2

    def forward(self, x):
        h = self.norm1(self.conv1(self.norm0(self.conv0(x)).relu()))
        if self.stride > 1:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra, self.extra))
        return (h + x).relu()


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.norm = conv(3, 16), nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(*(Block(*plan) for plan in PLAN))
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(self.norm(self.stem(x)).relu())
        return self.head(x.mean((2, 3)))


def loss(model, batch):
    return F.cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(ResNet(), loss, task)
