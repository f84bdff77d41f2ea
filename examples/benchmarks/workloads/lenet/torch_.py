"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv0 = nn.Conv2d(1, 20, 5)
        self.conv1 = nn.Conv2d(20, 50, 5)
        self.hidden = nn.Linear(800, 500)
        self.out = nn.Linear(500, 10)

    def forward(self, x):
        h = F.max_pool2d(self.conv0(x).relu(), 2)
        h = F.max_pool2d(self.conv1(h).relu(), 2)
        return self.out(self.hidden(h.flatten(1)).relu())


def loss(model, batch):
    return F.cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(LeNet(), loss, task)
