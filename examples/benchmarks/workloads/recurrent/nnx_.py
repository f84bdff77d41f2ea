"""In flax nnx."""

import jax.numpy as jnp
from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.recurrent import DIM, IN


class Reader(nnx.Module):
    def __init__(self, rngs):
        self.read = nnx.RNN(nnx.OptimizedLSTMCell(IN, DIM, rngs=rngs))
        self.out = nnx.Linear(DIM, 10, rngs=rngs)

    def __call__(self, x):
        zero = jnp.zeros((len(x), DIM))
        return self.out(self.read(x, initial_carry=(zero, zero))[:, -1])


def loss(model, batch):
    return cross_entropy(model(batch["x"]), batch["label"])


def build(task):
    names = {
        "read/input/kernel": "read/cell/dense_i/kernel",
        "read/recurrent/kernel": "read/cell/dense_h/kernel",
        "read/input/bias": "read/cell/dense_h/bias",
    }
    arrays = {names.get(path, path): array for path, array in task.weights.items()}
    return trained(Reader(nnx.Rngs(0)), loss, task, arrays)
