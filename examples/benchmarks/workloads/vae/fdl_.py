"""In fdl."""

import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.vae import CODE, HIDDEN, PIXELS
from fdl import losses, nn


def model():
    def forward(x, noise, encode, mean, log_var, decode, out):
        h = nn.relu(encode(x))
        centre, spread = mean(h), log_var(h)
        code = centre + jnp.exp(spread / 2) * noise
        return out(nn.relu(decode(code))), centre, spread

    return nn.wire(
        forward,
        encode=nn.dense(PIXELS, HIDDEN),
        mean=nn.dense(HIDDEN, CODE),
        log_var=nn.dense(HIDDEN, CODE),
        decode=nn.dense(CODE, HIDDEN),
        out=nn.dense(HIDDEN, PIXELS),
    )


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        (logits, mean, log_var), state = net.apply(params, state, batch["image"], batch["noise"], key=key, train=True)
        reconstruction = losses.binary_cross_entropy(logits, batch["image"]).sum(-1)
        return losses.negative_elbo(reconstruction, mean, log_var).mean(), (state, {})

    return trained(net, loss_fn, task)
