"""In plain JAX: the two statistics, as gradients for optax."""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.jax_ import looped, optimizer_of


def statistics(params, v, noise):
    """The gradients of the parameters, and the reconstruction error."""
    up = lambda v: jax.nn.sigmoid(v @ params["kernel"] + params["hidden"])
    positive = up(v)
    again = jax.nn.sigmoid((noise < positive).astype(v.dtype) @ params["kernel"].T + params["visible"])
    negative = up(again)
    kernel = (again.T @ negative - v.T @ positive) / len(v)
    grads = {"kernel": kernel, "hidden": (negative - positive).mean(0), "visible": (again - v).mean(0)}
    return grads, jnp.square(v - again).mean()


def build(task):
    optimizer = optimizer_of(task)

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        params, opt_state = state
        grads, error = statistics(params, batch["image"], batch["noise"])
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), error

    params = {name: jnp.array(array) for name, array in task.weights.items()}
    return looped(step, (params, optimizer.init(params)), task)
