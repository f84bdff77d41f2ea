"""A function computed apart is one call of the compiled program, and nothing inside of it is another."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import inspection
from fdl.compile import on_cpu
from fdl.nn.apart import apart

X = jnp.linspace(-1, 1, 12).reshape(4, 3)


def running_sums(x):
    """Holds a loop and a function that JAX compiles by itself."""
    return jax.lax.scan(lambda total, row: (total + jnp.where(row > 0, row, 0),) * 2, jnp.zeros(3), x)[1]


def around(x):
    return jnp.sin(apart(running_sums, jnp.exp(x)))


def place(x):
    """Differentiated for one of two arrays, the other holds integers."""
    return apart(at_place, x, jnp.array([2, 0])).sum()


def at_place(x, rows):
    return x[rows] ** 2


def plain(x):
    return jnp.sin(running_sums(jnp.exp(x)))


@pytest.mark.skipif(not on_cpu(), reason="a promise for CPUs")
def test_it_is_the_only_call_of_the_program():
    calls = lambda function: len(re.findall(r"\bcall\(", jax.jit(function).lower(X).compile().as_text()))
    assert calls(around) == calls(plain) + 1


def test_its_operations_are_counted():
    assert inspection.flops(around, X).by_primitive == inspection.flops(plain, X).by_primitive


@pytest.mark.parametrize("of", [jax.jit, jax.vmap, jax.jacfwd, jax.jacrev, lambda f: jax.hessian(lambda x: f(x).sum())])
def test_it_goes_through_every_transform(of):
    x = X[None] if of is jax.vmap else X
    np.testing.assert_allclose(jax.jit(of(around))(x), jax.jit(of(plain))(x), rtol=1e-6, atol=1e-7)


def test_integers_have_no_derivative():
    want = jnp.zeros_like(X).at[jnp.array([2, 0])].set(2 * X[jnp.array([2, 0])])
    np.testing.assert_array_equal(jax.jit(jax.grad(place))(X), want)
