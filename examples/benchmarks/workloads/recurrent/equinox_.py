"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.frameworks.optax_ import cross_entropy
from examples.benchmarks.workloads.recurrent import DIM, IN


class Reader(eqx.Module):
    read: eqx.nn.LSTMCell | eqx.nn.GRUCell
    out: eqx.nn.Linear

    def __init__(self, cell, key):
        read, out = jax.random.split(key)
        kind = eqx.nn.LSTMCell if cell == "lstm" else eqx.nn.GRUCell
        self.read = kind(IN, DIM, key=read)
        self.out = eqx.nn.Linear(DIM, 10, key=out)

    def __call__(self, x):
        zero = jnp.zeros(DIM)
        start = (zero, zero) if isinstance(self.read, eqx.nn.LSTMCell) else zero
        last, _ = jax.lax.scan(lambda carry, now: (self.read(now, carry), None), start, x)
        return self.out(last[0] if isinstance(last, tuple) else last)


def loss(model, batch):
    return cross_entropy(jax.vmap(model)(batch["x"]), batch["label"])


def arrays_of(task):
    given = task.weights
    arrays = {name: array for name, array in task.out_first.items() if name.startswith("out/")}
    arrays |= {"read/weight_ih": given["read/input/kernel"].T, "read/weight_hh": given["read/recurrent/kernel"].T}
    arrays |= {"read/bias": given["read/input/bias"]}
    return arrays | ({"read/bias_n": given["read/recurrent/bias"]} if "read/recurrent/bias" in given else {})


def build(task):
    return trained(Reader(task.workload.sizes["cell"], jax.random.key(0)), loss, task, arrays=arrays_of(task))
