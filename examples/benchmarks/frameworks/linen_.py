"""flax linen and optax: `model.bind`, a jitted and donated step."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from examples.benchmarks.frameworks.optax_ import looped, optimizer_of
from examples.benchmarks.harness.task import Arrays, Program, Task, require_all

PACKAGES = ("jax", "flax", "optax")


def variables_of(model: nn.Module, task: Task, *inputs: jax.Array, arrays: Arrays | None = None) -> dict:
    """The variables of the model, with the given weights: blocks/0/x is blocks_0/x, a table an embedding."""
    variables = model.init(jax.random.key(0), *inputs)
    names = lambda path: path.replace("blocks/", "blocks_").replace("/table", "/embedding")
    weights = {names(path): jnp.array(a) for path, a in (arrays or task.apart).items()}
    require_all("linen", flatten_dict(variables["params"], sep="/"), weights)
    return variables | {"params": unflatten_dict(weights, sep="/")}


def trained(
    model: nn.Module, loss: Callable, task: Task, *, arrays: Arrays | None = None, inputs: tuple[str, ...] = ("image",)
) -> Program:
    """Steps of training; loss(bound model, batch) -> number.  arrays are the weights, unless the task's will do."""
    variables = variables_of(model, task, *(task.batches[0][name] for name in inputs), arrays=arrays)
    optimizer = optimizer_of(task)
    params = variables.pop("params")

    def loss_of(params, carried, batch):
        bound = model.bind({"params": params, **carried}, mutable=list(carried))
        value = loss(bound, batch)
        return value, {name: bound.variables[name] for name in carried}

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        params, carried, opt_state = state
        (value, carried), grads = jax.value_and_grad(loss_of, has_aux=True)(params, carried, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), carried, opt_state), value

    return looped(step, (params, variables, optimizer.init(params)), task)
