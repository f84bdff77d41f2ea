"""How an RBM learns: lower the free energy of data, raise that of what the machine makes up.

The gradient of log p(v) is that of the free energy of samples of the model minus that of the data; only the samples
are hard to come by.  Contrastive divergence starts a short chain at the data, persistent contrastive divergence goes
on with chains of its own.  Both are losses for `train.make_train_step`; a batch is visible units (batch, visible).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.models.rbm import RBM, Params


def contrast(rbm: RBM, params: Params, data: jax.Array, fantasies: jax.Array) -> jax.Array:
    """Mean free energy of data minus that of fantasies, which count as fixed.  (n, visible), (m, visible) -> ()

    Its gradient by the kernel is ⟨v h⟩ of the fantasies minus ⟨v h⟩ of the data, h at its mean.
    """
    energy = lambda v: rbm.free_energy(params, v).mean()
    return energy(data) - energy(jax.lax.stop_gradient(fantasies))


def contrastive_divergence(rbm: RBM, steps: int = 1, *, sampled: bool = False) -> Callable:
    """The loss of CD-k: fantasies are the data after `steps` sweeps of Gibbs sampling.

    The last visible units are at their means, as usual, which quiets the gradient and biases it; `sampled` draws them,
    so that with many steps the gradient is that of the likelihood.  The metric "error" is the squared error of one
    reconstruction, summed over units.  Hinton 2002, https://doi.org/10.1162/089976602760128018; Hinton 2010,
    https://www.cs.toronto.edu/~hinton/absps/guideTR.pdf
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")

    def loss_fn(params, state, v, key):
        chain_key, up, down = jax.random.split(key, 3)
        start = rbm.gibbs(params, v, chain_key, steps - 1) if steps > 1 else v
        field = rbm.visible_field(params, rbm.sample_hidden(params, start, up))
        mean = rbm.visible_units.mean(field)
        fantasies = rbm.visible_units.sample(down, field) if sampled else mean
        error = jnp.square(v - mean).sum(-1).mean()
        return contrast(rbm, params, v, fantasies), (state, {"error": error})

    return loss_fn


def persistent_contrastive_divergence(rbm: RBM, steps: int = 1) -> Callable:
    """The loss whose fantasies are chains that never end, carried in the state: see `init_with_chains`.

    Tieleman 2008, https://doi.org/10.1145/1390156.1390290
    """

    def loss_fn(params, state, v, key):
        chains = rbm.gibbs(params, state["chains"], key, steps)
        return contrast(rbm, params, v, chains), ({"chains": chains}, {})

    return loss_fn


def init_with_chains(rbm: RBM, count: int) -> Callable:
    """init(key) -> (params, state) with so many chains, drawn from the machine without its kernel and biases."""

    def init(key):
        params_key, chain_key = jax.random.split(key)
        chains = rbm.visible_units.sample(chain_key, jnp.zeros((count, rbm.visible)))
        return rbm.init(params_key)[0], {"chains": chains}

    return init
