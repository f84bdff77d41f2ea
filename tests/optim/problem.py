"""A badly scaled, noisy problem (curvatures from 0.01 to 100), on which optimizers follow their papers."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim

STEPS = 1000
CURVATURE = np.logspace(-2, 2, 10)
TARGET = np.linspace(-1, 1, 10)
START = np.cos(np.arange(10.0))
NOISE = np.random.default_rng(0).standard_normal((STEPS, 10)) * CURVATURE**0.5
KERNEL = np.arange(10) < 6


def gradient(theta, t):
    return CURVATURE * (theta - TARGET) + NOISE[t]


def value(theta, t):
    return np.sum(CURVATURE * (theta - TARGET) ** 2 / 2 + NOISE[t] * theta)


def rate(t):
    return 0.005 / (1 + t / 50)


def ours(optimizer, view=lambda params, opt_state: params):
    """The path of the optimizer, as the parameters that view shows: (step, coordinate)."""
    join = lambda tree: jnp.concatenate([tree["kernel"].ravel(), tree["bias"]])
    split = lambda x: {"kernel": x[:6].reshape(3, 2), "bias": x[6:]}

    def step(carry, noise):
        params, opt_state = carry
        grads = split(jnp.asarray(CURVATURE) * (join(params) - jnp.asarray(TARGET)) + noise)
        loss = lambda params: jnp.sum(
            0.5 * jnp.asarray(CURVATURE) * (join(params) - jnp.asarray(TARGET)) ** 2 + noise * join(params)
        )
        extras = {"value": loss(params), "grad": grads, "value_fn": loss}
        updates, opt_state = optimizer.update(grads, opt_state, params, **extras)
        params = optim.apply_updates(params, updates)
        return (params, opt_state), join(view(params, opt_state))

    with jax.enable_x64(True):
        params = split(jnp.asarray(START))
        run = jax.jit(lambda carry: jax.lax.scan(step, carry, jnp.asarray(NOISE))[1])
        return np.asarray(run((params, optimizer.init(params))))


def worst(path, wanted):
    """Largest difference on the path, relative to the largest value of each coordinate."""
    assert path.shape == wanted.shape == (STEPS, 10)
    return np.max(np.abs(path - wanted) / np.max(np.abs(wanted), axis=0))
