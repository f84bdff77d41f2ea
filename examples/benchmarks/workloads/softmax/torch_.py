"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained


class Softmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(784, 10)

    def forward(self, x):
        return self.out(x.flatten(1))


def loss(model, batch):
    return F.cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Softmax(), loss, task)
