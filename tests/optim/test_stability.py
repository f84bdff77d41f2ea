"""The edge of stability (lecture.md row 57): full-batch training drives the sharpness up to 2 / rate, not beyond."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim

RATE = 2 / 40


def test_the_sharpness_settles_at_two_over_the_rate():
    """Cohen et al. 2021, https://arxiv.org/abs/2103.00065, on a small tanh network: within 10 %."""
    x = jnp.linspace(-1, 1, 20)[:, None]
    y = 4 * x**3 - 3 * x

    def loss(params):
        hidden = jnp.tanh(x @ params["a"] + params["b"][None])
        return jnp.mean((jnp.tanh(hidden @ params["c"]) @ params["d"] - y) ** 2)

    keys = jax.random.split(jax.random.key(0), 3)
    scale = lambda key, *shape: jax.random.normal(key, shape) / shape[0] ** 0.5
    params = {"a": scale(keys[0], 1, 16), "b": jnp.zeros(16), "c": scale(keys[1], 16, 16), "d": scale(keys[2], 16, 1)}
    optimizer = optim.sgd(RATE)

    def step(i, carry):
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optim.apply_updates(params, updates), state

    def sharpness(params):
        product = lambda v: optim.hessian_vector_product(loss, params, v)
        return optim.lanczos(product, params, jax.random.key(1), 15).values[-1]

    def watch(carry, _):
        carry = jax.lax.fori_loop(0, 200, step, carry)
        return carry, (sharpness(carry[0]), loss(carry[0]))

    run = jax.jit(lambda carry: jax.lax.scan(watch, carry, length=30)[1])
    sharp, losses = map(np.asarray, run((params, optimizer.init(params))))
    assert float(sharpness(params)) < 0.5 * 2 / RATE
    np.testing.assert_allclose(np.median(sharp[-10:]), 2 / RATE, rtol=0.1)
    assert losses[-1] < 0.2 * losses[0]
