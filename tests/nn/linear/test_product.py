"""Products whose gradients are arranged for a CPU are the plain products, in every derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.nn.linear.product import recur, times

DRAW = np.random.default_rng(0).normal


def of(product):
    return lambda x, kernel: jnp.sum(jnp.sin(product(x, kernel)))


def same(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12), got, want)


@pytest.mark.parametrize("product", [times, recur])
@pytest.mark.parametrize(("rows", "in_dim", "out_dim"), [(7, 5, 3), (7, 3, 5), (2, 5, 3), (2, 3, 5), (0, 3, 2)])
def test_every_derivative_is_that_of_the_definition(product, rows, in_dim, out_dim):
    with jax.enable_x64(True):
        at, along = ((jnp.asarray(DRAW(size=s)) for s in ((rows, in_dim), (in_dim, out_dim))) for _ in range(2))
        at, along = tuple(at), tuple(along)
        ours, plain = of(product), of(lambda x, kernel: times(x, kernel, plain=True))
        same(jax.jvp(ours, at, along), jax.jvp(plain, at, along))
        gradients = jax.grad(ours, (0, 1)), jax.grad(plain, (0, 1))
        same(*(jax.jvp(gradient, at, along) for gradient in gradients))
        same(*(jax.vjp(gradient, *at)[1](along) for gradient in gradients))
        many = jax.tree.map(lambda a: jnp.stack([a, 2 * a]), at)
        for axes in ((0, 0), (0, None), (None, 0)):
            given = [full if axis == 0 else one for full, one, axis in zip(many, at, axes)]
            same(*(jax.vmap(gradient, axes)(*given) for gradient in gradients))


def test_the_gradient_of_a_narrow_kernel_turns_the_narrow_array():
    x, kernel = jnp.ones((64, 32)), jnp.ones((32, 4))
    program = str(jax.make_jaxpr(jax.grad(of(times), 1))(x, kernel))
    assert "f32[4,32] = dot_general" in program


@pytest.mark.parametrize("product", [times, recur])
def test_the_gradient_of_the_input_turns_the_kernel_and_multiplies_plainly(product):
    program = str(jax.make_jaxpr(jax.grad(of(product)))(jnp.ones((2, 3)), jnp.ones((3, 5))))
    assert "f32[5,3] = optimization_barrier" in program
    assert "([0], [1])" not in program
    assert "dimension_numbers=(([1], [0]), ([], []))" in program
