"""In fdl: the gradient of the difference of two free energies."""

import jax
import jax.numpy as jnp

from examples.benchmarks.frameworks.fdl_ import trained
from examples.benchmarks.workloads.rbm import HIDDEN, VISIBLE
from fdl import nn


@nn.layer
def rbm(visible, hidden):
    """The free energy of visible units.  (batch, visible) -> (batch,)"""

    def init(key):
        kernel = nn.normal(0.01)(key, (visible, hidden))
        return {"kernel": kernel, "hidden": jnp.zeros(hidden), "visible": jnp.zeros(visible)}

    def apply(params, v):
        return -v @ params["visible"] - nn.softplus(hidden_input(params, v)).sum(-1)

    return nn.pure(init, apply)


def hidden_input(params, v):
    return v @ params["kernel"] + params["hidden"]


def model():
    return rbm(VISIBLE, HIDDEN)


def build(task):
    net = model()

    def loss_fn(params, state, batch, key):
        v = batch["image"]
        hidden = (batch["noise"] < nn.sigmoid(hidden_input(params, v))).astype(v.dtype)
        again = jax.lax.stop_gradient(nn.sigmoid(hidden @ params["kernel"].T + params["visible"]))
        energy = lambda v: net.apply(params, state, v)[0].mean()
        return energy(v) - energy(again), (state, {"error": jnp.square(v - again).mean()})

    return trained(net, loss_fn, task, read="error")
