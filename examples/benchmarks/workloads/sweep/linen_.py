"""In flax linen and optax: the learning rate in the state, the step under vmap."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.linen_ import variables_of
from examples.benchmarks.frameworks.optax_ import cross_entropy, looped
from examples.benchmarks.workloads.sweep import COUNT, HIDDEN, RATES


class Perceptron(nn.Module):
    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.Dense(HIDDEN, name="hidden")(x.reshape(len(x), -1)))
        return nn.Dense(10, name="out")(h)


def build(task):
    model = Perceptron()
    optimizer = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)

    def update(params, opt_state, batch):
        loss = lambda params: cross_entropy(model.apply({"params": params}, batch["image"]), batch["label"])
        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), value

    @partial(jax.jit, donate_argnums=0)
    def step(states, batch):
        states, values = jax.vmap(update, (0, 0, None))(*states, batch)
        return states, values.mean()

    params = variables_of(model, task, task.batches[0]["image"])["params"]
    params = jax.tree.map(lambda leaf: jnp.stack([leaf] * COUNT), params)
    opt_states = jax.vmap(optimizer.init)(params)
    opt_states.hyperparams["learning_rate"] = jnp.array(RATES)
    return looped(step, (params, opt_states), task)
