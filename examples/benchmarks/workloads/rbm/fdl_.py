"""In fdl: the gradient of the difference of two free energies."""

import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.rbm import HIDDEN, VISIBLE
from fdl import models


def model():
    return models.RBM(VISIBLE, HIDDEN)


def build(task):
    rbm = model()

    def loss_fn(params, state, batch, key):
        v = batch["image"]
        hidden = (batch["noise"] < rbm.mean_hidden(params, v)).astype(v.dtype)
        again = rbm.mean_visible(params, hidden)
        return models.contrast(rbm, params, v, again), (state, {"error": jnp.square(v - again).mean()})

    return trained(rbm, loss_fn, task, read="error")
