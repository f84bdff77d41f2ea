"""In equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.equinox_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS


class VAE(eqx.Module):
    encode: eqx.nn.Linear
    mean: eqx.nn.Linear
    log_var: eqx.nn.Linear
    decode: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 5)
        self.encode = eqx.nn.Linear(PIXELS, HIDDEN, key=keys[0])
        self.mean = eqx.nn.Linear(HIDDEN, CODE, key=keys[1])
        self.log_var = eqx.nn.Linear(HIDDEN, CODE, key=keys[2])
        self.decode = eqx.nn.Linear(CODE, HIDDEN, key=keys[3])
        self.out = eqx.nn.Linear(HIDDEN, PIXELS, key=keys[4])

    def __call__(self, x, noise):
        h = jax.nn.relu(self.encode(x))
        mean, log_var = self.mean(h), self.log_var(h)
        code = mean + jnp.exp(log_var / 2) * noise
        return self.out(jax.nn.relu(self.decode(code))), mean, log_var


def loss(model, batch):
    logits, mean, log_var = jax.vmap(model)(batch["image"], batch["noise"])
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, batch["image"]).sum()
    kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var)
    return (reconstruction + kl) / len(mean)


def build(task):
    return trained(VAE(jax.random.key(0)), loss, task)
