"""In haiku, whose LSTM has one product for inputs and carry, its gates in the order i, g, f, o, and adds 1 to f."""

import haiku as hk
import numpy as np

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.recurrent import DIM


def loss(batch):
    cell = hk.LSTM(DIM, name="read")
    y, _ = hk.dynamic_unroll(cell, batch["x"], cell.initial_state(len(batch["x"])), time_major=False)
    return cross_entropy(hk.Linear(10, name="out")(y[:, -1]), batch["label"])


def arrays_of(task):
    given = task.weights
    kernel = np.concatenate([given["read/input/kernel"], given["read/recurrent/kernel"]])
    i, f, g, o = np.split(given["read/input/bias"], 4)
    cell = {"kernel": _reordered(kernel), "bias": np.concatenate([i, g, f - 1, o])}
    out = {path: array for path, array in given.items() if path.startswith("out/")}
    return out | {f"read/linear/{name}": array for name, array in cell.items()}


def _reordered(kernel):
    i, f, g, o = np.split(kernel, 4, -1)
    return np.concatenate([i, g, f, o], -1)


def build(task):
    return trained(loss, task, arrays_of(task))
