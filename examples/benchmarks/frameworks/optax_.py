"""What the JAX peers share: optax, and a loop over batches that lie on the device."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import optax

from examples.benchmarks.harness.task import Program, Task


def optimizer_of(task: Task) -> optax.GradientTransformation:
    """The optimizer of the workload."""
    kind, learning_rate, momentum = task.workload.optimizer
    return optax.adam(learning_rate) if kind == "adam" else optax.sgd(learning_rate, momentum)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """The mean over all labels."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def looped(step: Callable[[Any, Any], tuple[Any, jax.Array]], state: Any, task: Task) -> Program:
    """step(state, batch) -> (state, loss), over and over; losses are read at the end."""
    batches = itertools.cycle(jax.device_put(task.batches))

    def run(steps):
        nonlocal state
        curve = []
        for batch in itertools.islice(batches, steps):
            state, value = step(state, batch)
            curve.append(value)
        return jax.device_get(curve)

    return run
