"""In flax linen."""

import flax.linen as nn
import jax.numpy as jnp
import optax

from examples.benchmarks.frameworks.linen_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS


class VAE(nn.Module):
    @nn.compact
    def __call__(self, x, noise):
        h = nn.relu(nn.Dense(HIDDEN, name="encode")(x))
        mean, log_var = nn.Dense(CODE, name="mean")(h), nn.Dense(CODE, name="log_var")(h)
        code = mean + jnp.exp(log_var / 2) * noise
        return nn.Dense(PIXELS, name="out")(nn.relu(nn.Dense(HIDDEN, name="decode")(code))), mean, log_var


def loss(model, batch):
    logits, mean, log_var = model(batch["image"], batch["noise"])
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, batch["image"]).sum()
    kl = 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_var) - 1 - log_var)
    return (reconstruction + kl) / len(mean)


def build(task):
    return trained(VAE(), loss, task, inputs=("image", "noise"))
