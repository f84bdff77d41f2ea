"""In flax linen and optax: shuffled by NumPy, moved to the device a batch at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from examples.benchmarks.frameworks.linen_ import variables_of
from examples.benchmarks.frameworks.optax_ import cross_entropy, optimizer_of
from examples.benchmarks.workloads.epoch import EVALUATED
from examples.benchmarks.workloads.mlp.linen_ import Perceptron


def build(task):
    model, optimizer, examples = Perceptron(), optimizer_of(task), task.examples
    rng, orders = np.random.default_rng(0), [task.order]
    logits_of = lambda params, image: model.apply({"params": params}, image.astype(jnp.float32) / 255)

    @partial(jax.jit, donate_argnums=0)
    def step(state, batch):
        params, opt_state = state
        image = jax.vmap(lambda image, by: jnp.roll(image, by, (0, 1)))(batch["image"], batch["shift"])

        def loss_of(params):
            logits = logits_of(params, image)
            return cross_entropy(logits, batch["label"]), (logits.argmax(-1) == batch["label"]).sum()

        (value, correct), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), (value, correct)

    @jax.jit
    def count(params, image, label):
        return (logits_of(params, image).argmax(-1) == label).sum()

    params = variables_of(model, task, examples["image"][:1])["params"]
    state = params, optimizer.init(params)

    def epoch(state):
        order = orders.pop() if orders else rng.permutation(len(examples["label"])).reshape(task.order.shape)
        log = []
        for rows in order:
            state, measured = step(state, {name: array[rows] for name, array in examples.items()})
            log.append(measured)
        return state, jax.device_get(log)

    def run(epochs):
        nonlocal state
        for _ in range(epochs):
            state, log = epoch(state)
            parts = [slice(start, start + 1000) for start in range(0, EVALUATED, 1000)]
            sum(int(count(state[0], examples["image"][part], examples["label"][part])) for part in parts)
        return [loss for loss, _ in log[:5]]

    return run
