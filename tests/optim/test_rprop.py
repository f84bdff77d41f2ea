"""RProp where it shines and where it fails (lecture.md row 63): the 10-5-10 encoder, and batches of one."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim
from tests.optim.test_closed_forms import path

SEEDS = 50


def epochs(optimizer, limit):
    """Epochs until every output of the encoder is within 0.4 of its target, for each seed; limit + 1 if never."""
    draw = lambda key, *shape: jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)

    def init(key):
        keys = jax.random.split(key, 4)
        return {"in": draw(keys[0], 10, 5), "b": draw(keys[1], 5), "out": draw(keys[2], 5, 10), "c": draw(keys[3], 10)}

    def output(params):
        hidden = jax.nn.sigmoid(params["in"] + params["b"][None])  # the inputs are the rows of the identity
        return jax.nn.sigmoid(hidden @ params["out"] + params["c"][None])

    loss = lambda params: 0.5 * jnp.sum((output(params) - jnp.eye(10)) ** 2)

    def epoch(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        params = optim.apply_updates(params, updates)
        return (params, state), jnp.max(jnp.abs(output(params) - jnp.eye(10))) < 0.4

    def run(key):
        params = init(key)
        solved = jax.lax.scan(epoch, (params, optimizer.init(params)), length=limit)[1]
        return jnp.where(jnp.any(solved), jnp.argmax(solved) + 1, limit + 1)

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), SEEDS)))


def test_the_encoder_is_learnt_in_a_quarter_of_the_epochs():
    """Riedmiller & Braun 1993: backpropagation 121 epochs, RProp 19."""
    backpropagation, large, small = epochs(optim.sgd(1.9), 300), epochs(optim.rprop(2.0), 80), epochs(optim.rprop(), 80)
    assert np.median(large) <= 26
    assert np.median(small) <= 26
    assert np.median(backpropagation) >= 4 * np.median(large)
    assert np.all(small <= 80)


def test_batches_of_one_lead_rprop_to_the_median_and_rmsprop_to_the_mean():
    """At the mean nine examples pull by +0.1 and one by -0.9: signs alone walk away from it, as the lecture says."""
    examples = np.repeat([0.0, 1.0], [9, 1])
    order = np.random.default_rng(0).permuted(np.tile(examples, (400, 1)), axis=1).ravel()
    gradient = lambda theta, t: theta - jnp.asarray(order)[t]
    error = lambda optimizer: np.sqrt(np.mean((path(optimizer, gradient, np.full(1, 0.1), 4000)[2000:] - 0.1) ** 2))
    found = error(optim.rprop(1e-3, bounds=(1e-6, 0.05))), error(optim.rmsprop(1e-3, decay=0.99))
    assert found[0] >= 5 * found[1]
