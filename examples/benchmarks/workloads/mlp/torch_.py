"""In torch."""

from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, 800)
        self.out = nn.Linear(800, 10)

    def forward(self, x):
        return self.out(self.hidden(x.flatten(1)).relu())


def loss(model, batch):
    return F.cross_entropy(model(batch["image"]), batch["label"])


def build(task):
    return trained(Perceptron(), loss, task)
