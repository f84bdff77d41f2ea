"""Sums over the steps of a loop as products behind it: the same gradients, in fewer operations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxprs_in_params

from fdl import nn
from fdl.compile import compile, on_cpu
from fdl.cpu import wide_products_only
from fdl.cpu.exchange import exchange
from fdl.cpu.sums import _Body

pytestmark = pytest.mark.skipif(not on_cpu(), reason="promises for CPUs")

DRAWN = np.random.default_rng(0)
X = DRAWN.normal(size=(24, 16, 64)).astype("f")  # time, batch, dim
KERNEL = (0.1 * DRAWN.normal(size=(64, 64))).astype("f")


def recurrence(kernel, x):
    """h <- tanh(x + h kernel), as a user would write it."""

    def step(h, x):
        h = jnp.tanh(x + h @ kernel)
        return h, h

    return lax.scan(step, jnp.zeros_like(x[0]), x)[1]


def loss(kernel, x):
    return (recurrence(kernel, x) ** 2).sum()


def by_layer(cell):
    layer = nn.unroll(cell)
    params, _ = layer.init(jax.random.key(0))
    return lambda x: jax.grad(lambda params: (layer.apply(params, {}, x)[0] ** 2).sum())(params)


def counted_only(kernel, x):
    """A sum that the loop itself reads."""

    def step(total, x):
        total = total + (x.T @ x)[:1]
        return total, x @ kernel + total

    return lax.scan(step, jnp.zeros((1, 64)), x)[1]


FORMS = {
    "a kernel": lambda: jax.grad(loss)(KERNEL, X),
    "kernel and inputs": lambda: jax.grad(loss, (0, 1))(KERNEL, X),
    "second order": lambda: jax.jvp(lambda k: jax.grad(loss)(k, X[:4]), (KERNEL,), (KERNEL,))[1],
    "half precision": lambda: jax.grad(loss)(KERNEL.astype(jnp.bfloat16), X[:4].astype(jnp.bfloat16)),
    "several kernels": lambda: jax.vmap(jax.grad(loss), (0, None))(jnp.stack([KERNEL, -KERNEL]), X),
    "in a loop": lambda: lax.scan(lambda k, _: (k - 1e-3 * jax.grad(loss)(k, X), None), KERNEL, None, length=2)[0],
    "read by the loop": lambda: counted_only(KERNEL, X),
    "lstm": lambda: by_layer(nn.lstm(64, 32, peepholes=True))(jnp.moveaxis(X, 0, 1)),
    "gru": lambda: by_layer(nn.gru(64, 32))(jnp.moveaxis(X, 0, 1)),
    "gru of the paper": lambda: by_layer(nn.gru(64, 32, reset_after=False))(jnp.moveaxis(X, 0, 1)),
    "minimal gated unit": lambda: by_layer(nn.minimal_gated_unit(64, 32))(jnp.moveaxis(X, 0, 1)),
    "elman": lambda: by_layer(nn.elman(64, 32))(jnp.moveaxis(X, 0, 1)),
    "conv_lstm": lambda: by_layer(nn.conv_lstm(4, 8, (3, 3)))(X.reshape(4, 6, 16, 16, 4)),
}


@pytest.mark.parametrize("form", FORMS)
def test_gradients_are_the_same(form):
    found, wanted = compile(FORMS[form])(), jax.jit(FORMS[form])()
    rtol = 0.05 if form == "half precision" else 1e-4
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        assert a.dtype == b.dtype
        a, b = np.float32(a), np.float32(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def in_loops(program, inside=False):
    """The shapes of the products inside of loops."""
    shapes = []
    for eqn in program.eqns:
        if inside and eqn.primitive.name in ("dot_general", "fdl_product"):
            shapes.append(eqn.outvars[0].aval.shape)
        for inner in jaxprs_in_params(eqn.params):
            shapes += in_loops(inner, inside or eqn.primitive.name == "scan")
    return shapes


def test_the_loop_multiplies_only_what_it_needs():
    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(KERNEL, X)
    assert (64, 64) in in_loops(program.jaxpr)
    [backward] = [eqn for eqn in exchange(program).jaxpr.eqns if eqn.primitive.name == "jit"]
    behind = backward.params["jaxpr"].jaxpr
    [loop] = [eqn for eqn in behind.eqns if eqn.primitive.name == "scan"]
    assert [before is after for before, after in _Body(loop).carries].count(True) == 1
    assert [eqn.primitive.name for eqn in behind.eqns].count("fdl_product") == 1


def test_a_sum_that_would_need_a_stack_stays_in_the_loop():
    program = jax.make_jaxpr(jax.grad(loss))(KERNEL, X)  # nobody asks for the gradient of the inputs
    assert str(exchange(program)) == str(program)


def test_a_sum_that_is_read_stays_in_the_loop():
    program = jax.make_jaxpr(counted_only)(KERNEL, X)
    assert str(exchange(program)) == str(program)


def test_eigen_multiplies_beside_a_sum_behind_a_loop():
    program = jax.make_jaxpr(jax.grad(loss, (0, 1)))(jnp.ones((128, 128)), jnp.ones((24, 16, 128)))
    assert not wide_products_only(exchange(program))


def called(f, *args):
    return "fdl_product" in str(exchange(jax.make_jaxpr(f)(*args)))


@pytest.mark.parametrize("dim", [64, 20], ids=["by a call", "too little for a call"])
def test_runs_side_by_side_have_the_bits_of_each_alone(dim):
    kernels = jnp.stack([KERNEL, -KERNEL, KERNEL.T, 2 * KERNEL])[:, :dim, :dim]
    inputs = jnp.stack([X, 2 * X, -X, X / 2])[..., :dim]
    gradient = jax.grad(loss, (0, 1))
    assert called(jax.vmap(gradient), kernels, inputs) == called(gradient, kernels[0], inputs[0]) == (dim == 64)
    together, alone = compile(jax.vmap(gradient))(kernels, inputs), compile(gradient)
    for *found, kernel, x in zip(*together, kernels, inputs):
        jax.tree.map(np.testing.assert_array_equal, tuple(found), alone(kernel, x))
