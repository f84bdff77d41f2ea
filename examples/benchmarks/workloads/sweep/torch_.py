"""In torch: one model after the other."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import ready
from examples.benchmarks.workloads.sweep import COUNT, HIDDEN, RATES


class Perceptron(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(784, HIDDEN)
        self.out = nn.Linear(HIDDEN, 10)

    def forward(self, x):
        return self.out(self.hidden(x.flatten(1)).relu())


def build(task):
    model, batches = ready(Perceptron(), task)
    models = [copy.deepcopy(model) for _ in range(COUNT)]
    optimizers = [torch.optim.Adam(m.parameters(), float(rate), fused=True) for m, rate in zip(models, RATES)]

    def run(steps):
        curve = []
        for _ in range(steps):
            batch, total = next(batches), 0.0
            for model, optimizer in zip(models, optimizers):
                optimizer.zero_grad()
                value = F.cross_entropy(model(batch["image"]), batch["label"])
                value.backward()
                optimizer.step()
                total += value.item()
            curve.append(total / COUNT)
        return curve

    return run
