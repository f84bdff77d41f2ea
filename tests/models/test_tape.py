"""Our tape against jax.grad and torch: every operation, values used twice, broadcasting, under jit and jax.grad."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError
from fdl.models import tape

RNG = np.random.default_rng(0)
W, V, B, X = (RNG.normal(size=shape) for shape in ((4, 3), (3, 3), (1, 3), (5, 4)))


def by_tape(params, x):
    """Every operation, each variable more than once, constants on either side."""
    h = tape.tanh(x @ params["w"] + params["b"])
    h = tape.sigmoid(2 * h @ params["v"] - h) * params["b"] + np.ones(3)
    odds = tape.exp(h - 1.5)
    z = tape.log(odds + 1.0) * params["w"].value.sum()  # a value taken off the tape is a constant
    return tape.total(-z * h) + tape.total(0.5 - params["v"] * params["v"])


def by_jax(params, x):
    h = jnp.tanh(x @ params["w"] + params["b"])
    h = jax.nn.sigmoid(2 * h @ params["v"] - h) * params["b"] + 1
    z = jnp.log(jnp.exp(h - 1.5) + 1.0) * jax.lax.stop_gradient(params["w"]).sum()
    return jnp.sum(-z * h) + jnp.sum(0.5 - params["v"] * params["v"])


def test_values_and_gradients_are_those_of_jax(agrees):
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        params = {"w": jnp.asarray(W), "v": jnp.asarray(V), "b": jnp.asarray(B), "unused": jnp.ones(2)}
        ours = tape.value_and_grad(by_tape)
        want = jax.jit(jax.value_and_grad(by_jax))(params, jnp.asarray(X))
        agrees.values("models.tape", "jax.grad", ours(params, X), want, most=1e-12)
        agrees.values("models.tape, under jit", "jax.grad", jax.jit(ours)(params, jnp.asarray(X)), want, most=1e-12)


def test_gradients_are_those_of_torch(agrees):
    torch = pytest.importorskip("torch")

    def ours(w, b, x):
        value, gradient = tape.value_and_grad(lambda p, x: tape.total(tape.sigmoid(x @ p[0] + p[1]) * p[1]))((w, b), x)
        return value, *gradient

    with jax.enable_x64(True):
        w, b, x = (torch.tensor(a, requires_grad=True) for a in (W, B, X))
        value = (torch.sigmoid(x @ w + b) * b).sum()
        value.backward()
        want = value.detach().numpy(), w.grad.numpy(), b.grad.numpy()
        agrees.values("models.tape", "torch", ours(jnp.asarray(W), jnp.asarray(B), jnp.asarray(X)), want, most=1e-12)


def test_jax_differentiates_the_tape_itself():
    """The Hessian of Σ tanh³ is that of its closed form."""
    slope = lambda w: tape.value_and_grad(lambda w: tape.total(tape.tanh(w) * tape.tanh(w) * tape.tanh(w)))(w)[1]
    w = jnp.asarray([0.3, -1.2])
    y = np.tanh(np.asarray(w))
    np.testing.assert_allclose(
        jax.jacfwd(slope)(w), np.diag(6 * y * (1 - y**2) ** 2 - 6 * y**3 * (1 - y**2)), atol=1e-5
    )


def test_mistakes_are_named():
    with pytest.raises(ShapeError, match=r"f must return one number, got float32\[2\]"):
        tape.value_and_grad(lambda w: w * w)(jnp.ones(2))
    with pytest.raises(TypeError, match="f must return a variable"):
        tape.value_and_grad(lambda w: 1.0)(jnp.ones(2))
    with pytest.raises(ShapeError, match="right of @"):
        tape.value_and_grad(lambda w: w @ w)(jnp.ones((2, 3)))

    with pytest.raises(TypeError, match="steps must be floating point"):
        tape.value_and_grad(lambda p: tape.total(p["steps"]))({"steps": jnp.arange(3)})

    def nested(v):
        inner = tape.value_and_grad(lambda w: tape.total(w * v))
        return inner(jnp.ones(2))[0]

    with pytest.raises(ValueError, match="on different tapes"):
        tape.value_and_grad(nested)(jnp.ones(2))
