"""flax nnx and optax: a model that is updated in place, a jitted and donated step."""

import itertools
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from examples.benchmarks.frameworks.optax_ import optimizer_of
from examples.benchmarks.harness.task import Arrays, Program, Task, require_all

PACKAGES = ("jax", "flax", "optax")


def load(model: nnx.Module, task: Task, arrays: Arrays | None = None) -> nnx.Module:
    """The model with the given weights; a table is an embedding."""
    weights = {path.replace("/table", "/embedding"): jnp.array(a) for path, a in (arrays or task.apart).items()}
    places = dict(nnx.to_flat_state(nnx.state(model, nnx.Param)))
    require_all("nnx", {"/".join(map(str, place)): 0 for place in places}, weights)
    for place, variable in places.items():
        variable.set_value(weights["/".join(map(str, place))])
    nnx.update(model, nnx.from_flat_state(places))
    return model


def trained(model: nnx.Module, loss: Callable, task: Task, arrays: Arrays | None = None) -> Program:
    """Steps of training; loss(model, batch) -> number.  arrays are the weights, unless those of the task will do."""
    load(model, task, arrays)
    optimizer = nnx.Optimizer(model, optimizer_of(task), wrt=nnx.Param)
    batches = itertools.cycle(jax.device_put(task.batches))

    @partial(nnx.jit, donate_argnums=(0, 1))
    def step(model, optimizer, batch):
        value, grads = nnx.value_and_grad(loss)(model, batch)
        optimizer.update(model, grads)
        return value

    step = nnx.cached_partial(step, model, optimizer)  # as its guide to performance advises

    def run(steps):
        return jax.device_get([step(batch) for batch in itertools.islice(batches, steps)])

    return run
