"""Smooth losses of {"x": vector} with known minima, and paths of optimizers that take the loss, in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from fdl import optim

RNG = np.random.default_rng(0)
CURVATURE = np.logspace(-2, 2, 10)
TARGET = np.linspace(-1, 1, 10)
FEATURES = RNG.standard_normal((60, 5))
LABELS = (FEATURES @ np.array([1.0, -2, 0.5, 0, 3]) + RNG.standard_normal(60) > 0).astype(float)


def rosenbrock(params):
    x = params["x"]
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def beale(params):
    x, y = params["x"]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def quadratic(params):
    return 0.5 * jnp.sum(jnp.asarray(CURVATURE) * (params["x"] - jnp.asarray(TARGET)) ** 2)


def logistic(params):
    score = jnp.asarray(FEATURES) @ params["x"]
    losses = jax.nn.softplus(score) - jnp.asarray(LABELS) * score
    return jnp.mean(losses) + 1e-3 * jnp.sum(params["x"] ** 2)


VALLEYS = {
    "rosenbrock": (rosenbrock, np.array([-1.2, 1.0])),
    "beale": (beale, np.array([1.0, 1.0])),
    "quadratic": (quadratic, np.cos(np.arange(10.0))),
    "logistic": (logistic, np.zeros(5)),
}


def path(optimizer, f, start, steps):
    """Points (steps + 1, n), losses and gradients at them, and the last state of the optimizer."""

    def step(carry, _):
        params, opt_state = carry
        value, grad = jax.value_and_grad(f)(params)
        updates, opt_state = optimizer.update(grad, opt_state, params, value=value, grad=grad, value_fn=f)
        return (optim.apply_updates(params, updates), opt_state), (params["x"], value, grad["x"])

    with jax.enable_x64(True):
        params = {"x": jnp.asarray(start, float)}
        run = jax.jit(lambda carry: jax.lax.scan(step, carry, None, steps + 1))
        (_, opt_state), rows = run((params, optimizer.init(params)))
        return *map(np.asarray, rows), jax.tree.map(np.asarray, opt_state)


def steps_until(gradients, limit):
    """How many steps it took until no entry of the gradient was larger than the limit."""
    small = np.max(np.abs(gradients), axis=1) <= limit
    assert small.any(), f"the gradient is still {np.abs(gradients[-1]).max():.1e}"
    return int(np.argmax(small))


def for_scipy(f):
    """The function of a NumPy vector to (loss, gradient)."""
    both = jax.jit(jax.value_and_grad(f))

    def call(x):
        with jax.enable_x64(True):
            value, grad = both({"x": jnp.asarray(x)})
            return float(value), np.asarray(grad["x"])

    return call
