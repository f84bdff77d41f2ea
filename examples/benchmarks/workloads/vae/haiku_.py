"""In haiku."""

import haiku as hk
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.haiku_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS


def loss(batch):
    h = jax.nn.relu(hk.Linear(HIDDEN, name="encode")(batch["image"]))
    mean, log_var = hk.Linear(CODE, name="mean")(h), hk.Linear(CODE, name="log_var")(h)
    code = mean + jnp.exp(log_var / 2) * batch["noise"]
    logits = hk.Linear(PIXELS, name="out")(jax.nn.relu(hk.Linear(HIDDEN, name="decode")(code)))
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, batch["image"]).sum()
    kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var)
    return (reconstruction + kl) / len(mean)


def build(task):
    return trained(loss, task)
