"""In torch, whose second bias is held at zero where it only doubles the first."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from examples.benchmarks.frameworks.torch_ import trained
from examples.benchmarks.workloads.recurrent import DIM, IN


class Reader(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.read = {"lstm": nn.LSTM, "gru": nn.GRU}[cell](IN, DIM, batch_first=True)
        self.out = nn.Linear(DIM, 10)
        second = self.read.bias_hh_l0
        if cell == "lstm":
            second.requires_grad_(False)
        else:
            candidate = (torch.arange(3 * DIM) >= 2 * DIM).float()
            second.register_hook(lambda grad: grad * candidate)

    def forward(self, x):
        y, _ = self.read(x)
        return self.out(y[:, -1])


def loss(model, batch):
    return F.cross_entropy(model(batch["x"]), batch["label"])


def arrays_of(task, cell):
    arrays = {name: array for name, array in task.out_first.items() if name.startswith("out/")}
    given = task.weights
    second = np.zeros(4 * DIM if cell == "lstm" else 2 * DIM, np.float32)
    if cell == "gru":
        second = np.concatenate([second, given["read/recurrent/bias"]])
    return arrays | {
        "read/weight_ih_l0": given["read/input/kernel"].T,
        "read/bias_ih_l0": given["read/input/bias"],
        "read/weight_hh_l0": given["read/recurrent/kernel"].T,
        "read/bias_hh_l0": second,
    }


def build(task):
    cell = task.workload.sizes["cell"]
    return trained(Reader(cell), loss, task, arrays_of(task, cell))
