"""In flax linen, which names a kernel for each gate: ii, if, ..., hi, hf, ..."""

import flax.linen as nn
import numpy as np

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.recurrent import DIM


class Reader(nn.Module):
    cell: str

    @nn.compact
    def __call__(self, x):
        cell = nn.OptimizedLSTMCell if self.cell == "lstm" else nn.GRUCell
        y = nn.RNN(cell(DIM, name="read"))(x)
        return nn.Dense(10, name="out")(y[:, -1])


def loss(model, batch):
    return cross_entropy(model(batch["x"]), batch["label"])


def arrays_of(task, cell):
    given = task.weights
    gates, biased = ("ifgo", "h") if cell == "lstm" else ("rzn", "i")
    arrays = {path: array for path, array in given.items() if path.startswith("out/")}
    for kind, path in (("i", "read/input/kernel"), ("h", "read/recurrent/kernel")):
        arrays |= {f"read/{kind}{gate}/kernel": part for gate, part in zip(gates, np.split(given[path], len(gates), 1))}
    for gate, part in zip(gates, np.split(given["read/input/bias"], len(gates))):
        arrays[f"read/{biased}{gate}/bias"] = part
    return arrays | ({"read/hn/bias": given["read/recurrent/bias"]} if cell == "gru" else {})


def build(task):
    cell = task.workload.sizes["cell"]
    return trained(Reader(cell), loss, task, inputs=("x",), arrays=arrays_of(task, cell))
