"""In torch."""

import torch
from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.unet import PLAN


class Pair(nn.Module):
    def __init__(self, in_dim, dim):
        super().__init__()
        self.conv0, self.conv1 = nn.Conv2d(in_dim, dim, 3, 1, 1), nn.Conv2d(dim, dim, 3, 1, 1)

    def forward(self, x):
        return self.conv1(self.conv0(x).relu()).relu()


class Up(nn.Module):
    def __init__(self, in_dim, dim):
        super().__init__()
        self.narrow, self.pair = nn.Conv2d(in_dim, dim, 3, 1, 1), Pair(in_dim, dim)

    def forward(self, x, skipped):
        larger = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.pair(torch.cat([skipped, self.narrow(larger).relu()], 1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        for name, plan in PLAN.items():
            self.add_module(name, (Up if name.startswith("up") else Pair)(*plan))
        self.head = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        first = self.down0(x)
        second = self.down1(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        return self.head(self.up0(self.up1(bottom, second), first))


def loss(model, batch):
    return F.binary_cross_entropy_with_logits(model(batch["image"]), batch["mask"])


def build(task):
    return trained(UNet(), loss, task)
