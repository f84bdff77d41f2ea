"""equinox and optax: a model that is a pytree, `filter_jit` with donation."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.optax_ import looped, optimizer_of
from examples.benchmarks.harness.task import Arrays, Program, Task, require_all

PACKAGES = ("jax", "equinox", "optax")


def load(model: eqx.Module, arrays: Arrays) -> eqx.Module:
    """The model with these weights, in its own shapes: the bias of a convolution has axes for space."""
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
    params, static = eqx.partition(model, eqx.is_inexact_array)
    places = jax.tree_util.tree_leaves_with_path(params)
    require_all("equinox", {name(path): 0 for path, _ in places}, arrays)
    put = lambda path, leaf: jnp.array(arrays[name(path)]).reshape(leaf.shape)
    return eqx.combine(jax.tree_util.tree_map_with_path(put, params), static)


def batched(model: eqx.Module) -> Callable:
    """The model of one example and a state as a function of many: its norms take their moments over the batch."""
    return jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))


def trained(
    model: eqx.Module, loss: Callable, task: Task, *, arrays: Arrays | None = None, carried: eqx.nn.State | None = None
) -> Program:
    """Steps of training; loss(model, batch) -> number, or loss(model, batch, carried) -> (number, carried) if given.

    arrays are the weights, unless those of the task will do.
    """
    model = load(model, task.out_first if arrays is None else arrays)
    optimizer = optimizer_of(task)

    def loss_of(model, batch, carried):
        return (loss(model, batch), None) if carried is None else loss(model, batch, carried)

    @eqx.filter_jit(donate="all-except-first")
    def update(batch, model, carried, opt_state):
        (value, carried), grads = eqx.filter_value_and_grad(loss_of, has_aux=True)(model, batch, carried)
        updates, opt_state = optimizer.update(grads, opt_state, eqx.filter(model, eqx.is_inexact_array))
        return (eqx.apply_updates(model, updates), carried, opt_state), value

    opt_state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    return looped(lambda state, batch: update(batch, *state), (model, carried, opt_state), task)
