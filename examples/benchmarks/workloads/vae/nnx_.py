"""In flax nnx."""

import jax.numpy as jnp
import optax
from flax import nnx

from examples.benchmarks.frameworks.nnx_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS


class VAE(nnx.Module):
    def __init__(self, rngs):
        self.encode = nnx.Linear(PIXELS, HIDDEN, rngs=rngs)
        self.mean = nnx.Linear(HIDDEN, CODE, rngs=rngs)
        self.log_var = nnx.Linear(HIDDEN, CODE, rngs=rngs)
        self.decode = nnx.Linear(CODE, HIDDEN, rngs=rngs)
        self.out = nnx.Linear(HIDDEN, PIXELS, rngs=rngs)

    def __call__(self, x, noise):
        h = nnx.relu(self.encode(x))
        mean, log_var = self.mean(h), self.log_var(h)
        code = mean + jnp.exp(log_var / 2) * noise
        return self.out(nnx.relu(self.decode(code))), mean, log_var


def loss(model, batch):
    logits, mean, log_var = model(batch["image"], batch["noise"])
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, batch["image"]).sum()
    kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var)
    return (reconstruction + kl) / len(mean)


def build(task):
    return trained(VAE(nnx.Rngs(0)), loss, task)
