"""The recipe by which the RBMs of 2006 were trained."""

from pathlib import Path

import jax

from fdl.data import shuffled
from fdl.models.contrastive_divergence import contrastive_divergence
from fdl.models.rbm import RBM, Params
from fdl.optim import Transform, add_weight_decay, chain, constant, join, momentum
from fdl.train import fit, init_state, make_train_step


def rbm_optimizer(learning_rate: float = 0.1, switch: int = 3000, weight_decay: float = 2e-4) -> Transform:
    """Gradient descent with momentum 0.5, from step `switch` on 0.9, and weight decay.

    Hinton & Salakhutdinov 2006, supporting online material, https://doi.org/10.1126/science.1127647; their momentum
    rises after 5 epochs of 600 batches, and their linear units learn at 0.001.
    """
    later = join([constant(0.5), constant(0.9)], [switch])
    return chain(add_weight_decay(weight_decay), momentum(learning_rate, later))


def fit_rbm(
    rbm: RBM,
    examples: jax.Array,
    *,
    epochs: int,
    learning_rate: float = 0.1,
    batch: int = 100,
    seed: int = 0,
    directory: str | Path | None = None,
) -> Params:
    """Train an RBM on examples (n, visible) by CD-1 with `rbm_optimizer`; with a directory it goes on where it was cut.

    What `greedy` wants: greedy(rbms, examples, partial(fit_rbm, epochs=50)).
    """
    batches = shuffled(examples, batch, seed)
    optimizer = rbm_optimizer(learning_rate, switch=5 * batches.steps_per_epoch)
    step = make_train_step(contrastive_divergence(rbm), optimizer)
    state = init_state(rbm.init, optimizer, seed)
    state, _ = fit(step, state, batches, epochs=epochs, directory=directory, resume=directory is not None)
    return state.params
