"""haiku and optax: a transformed function, a jitted and donated step."""

from collections.abc import Callable
from functools import partial

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.optax_ import looped, optimizer_of
from examples.benchmarks.harness.task import Arrays, Program, Task, require_all

PACKAGES = ("jax", "dm-haiku", "optax")
NAMES = {"kernel": "w", "table": "embeddings"}


def params_of(wanted: dict, arrays: Arrays) -> dict:
    """The given weights as haiku's two levels: kernel is w, table embeddings, bias b or, in a norm, offset.

    blocks/0/x is blocks_0/x.  They take the shapes wanted, since a batch norm of images has (1, 1, 1, dim).
    """
    params: dict = {}
    for path, array in arrays.items():
        parent, _, name = path.replace("blocks/", "blocks_").rpartition("/")
        bias = "offset" if path.removesuffix("bias") + "scale" in arrays else "b"
        params.setdefault(parent, {})[{**NAMES, "bias": bias}.get(name, name)] = jnp.array(array)
    flat = lambda params: {f"{module}/{name}": a for module, leaves in params.items() for name, a in leaves.items()}
    require_all("haiku", flat(wanted), flat(params))
    return jax.tree.map(lambda given, like: given.reshape(like.shape), params, wanted)


def trained(loss: Callable, task: Task, arrays: Arrays | None = None) -> Program:
    """Steps of training; loss(batch) -> number makes modules.  arrays are the weights, unless the task's will do."""
    model = hk.without_apply_rng(hk.transform_with_state(loss))
    wanted, carried = model.init(jax.random.key(0), task.batches[0])
    params = params_of(wanted, task.apart if arrays is None else arrays)
    optimizer = optimizer_of(task)

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        params, carried, opt_state = state
        (value, carried), grads = jax.value_and_grad(model.apply, has_aux=True)(params, carried, batch)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), carried, opt_state), value

    return looped(step, (params, carried, optimizer.init(params)), task)
