"""Products with the Hessian, and spectra from products, against matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fdl import optim, tree

RNG = np.random.default_rng(0)
X = RNG.standard_normal((7, 3))
LABEL = np.arange(7) % 2
PARAMS = {"kernel": RNG.standard_normal((3, 2)), "bias": RNG.standard_normal(2)}
VECTOR = {"kernel": RNG.standard_normal((3, 2)), "bias": RNG.standard_normal(2)}


def predict(params):
    return jnp.tanh(jnp.asarray(X) @ params["kernel"]) + jnp.tile(params["bias"], (7, 1)) ** 3


def loss(logits):
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(7), jnp.asarray(LABEL)])


def symmetric(values, seed=0):
    q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values),) * 2))[0]
    return (q * values) @ q.T


def test_a_product_is_that_of_the_matrix(agrees):
    with jax.enable_x64(True):
        params, vector = (jax.tree.map(jnp.asarray, x) for x in (PARAMS, VECTOR))
        flat, unravel = ravel_pytree(params)
        f = lambda params: loss(predict(params))
        H = jax.jacfwd(jax.jacrev(lambda x: f(unravel(x))))(flat)
        found = ravel_pytree(optim.hessian_vector_product(f, params, vector))[0]
        agrees.values("optim.hessian_vector_product", "full Hessian", found, H @ ravel_pytree(vector)[0])

        J = jax.jacrev(lambda x: predict(unravel(x)).ravel())(flat)
        # The Hessian of the cross-entropy by logits, diag(p) - p pᵀ for each example, over 7.
        p = np.asarray(jax.nn.softmax(predict(params)))
        B = np.zeros((14, 14))
        for i in range(7):
            B[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = (np.diag(p[i]) - np.outer(p[i], p[i])) / 7
        G = np.asarray(J).T @ B @ np.asarray(J)
        found = ravel_pytree(optim.gauss_newton_vector_product(predict, loss, params, vector))[0]
        agrees.values("optim.gauss_newton_vector_product", "J^T H J", found, G @ np.asarray(ravel_pytree(vector)[0]))


def test_all_steps_of_lanczos_give_all_eigenvalues(agrees):
    values = np.array([-3.0, -0.1, 0.2, 0.5, 1, 2, 50, 1000])
    A = symmetric(values)
    with jax.enable_x64(True):
        like = {"a": jnp.zeros((3, 2)), "b": jnp.zeros(2)}
        unravel = ravel_pytree(like)[1]
        matvec = lambda v: unravel(jnp.asarray(A) @ ravel_pytree(v)[0])
        found = jax.jit(lambda key: optim.lanczos(matvec, like, key, 8))(jax.random.key(0))
        agrees.values("optim.lanczos", "numpy.linalg.eigh", found.values, values)
        np.testing.assert_allclose(found.weights.sum(), 1)
        T = np.diag(found.diagonal) + np.diag(found.off_diagonal, 1) + np.diag(found.off_diagonal, -1)
        np.testing.assert_allclose(np.linalg.eigvalsh(T), values, atol=1e-9)
        value, vector = optim.power_iteration(matvec, like, jax.random.key(1), 20)
        agrees.values("optim.power_iteration", "numpy.linalg.eigh", value, np.asarray(1000.0))
        v = ravel_pytree(vector)[0]
        np.testing.assert_allclose(A @ v, 1000 * v, atol=1e-8)


def test_few_steps_of_lanczos_find_the_ends_of_a_long_spectrum():
    values = np.concatenate([np.linspace(0, 1, 97), [-2.0, 3.0, 5.0]])
    with jax.enable_x64(True):
        A = jnp.asarray(symmetric(values))
        found = optim.lanczos(lambda v: A @ v, jnp.zeros(100), jax.random.key(2), 25)
    np.testing.assert_allclose(np.asarray(found.values)[[0, -2, -1]], [-2, 3, 5], rtol=1e-6)


def test_values_with_their_weights_are_a_quadrature():
    # vᵀ A^k v of the first vector, exact for k < 2 * steps.
    with jax.enable_x64(True):
        A = jnp.asarray(symmetric(np.linspace(-1, 1, 20)))
        found = optim.lanczos(lambda v: A @ v, jnp.zeros(20), jax.random.key(3), 4)
        v = jax.random.normal(jax.random.key(3), (20,), jnp.float64)
        v = v / jnp.linalg.norm(v)
        for k in range(8):
            wanted = v @ jnp.linalg.matrix_power(A, k) @ v
            np.testing.assert_allclose(jnp.sum(found.weights * found.values**k), wanted, atol=1e-12)


def test_lanczos_goes_on_where_a_space_closes():
    with jax.enable_x64(True):
        A = jnp.asarray(symmetric(np.array([1.0, 1, 1, 1, 4, 4])))
        found = optim.lanczos(lambda v: A @ v, jnp.zeros(6), jax.random.key(0), 6)
    np.testing.assert_allclose(found.values, [1, 1, 1, 1, 4, 4], atol=1e-10)
    np.testing.assert_allclose(np.sum(np.asarray(found.weights)), 1)


def test_the_sharpness_of_a_narrow_type_is_measured_in_a_wide_one():
    params = {"kernel": jnp.ones(3, jnp.bfloat16)}
    f = lambda params: jnp.sum(params["kernel"].astype(jnp.float32) ** 2 * jnp.asarray([1.0, 2.0, 4.0]))
    found = optim.lanczos(lambda v: optim.hessian_vector_product(f, params, v), params, jax.random.key(0), 3)
    assert found.values.dtype == jnp.float32
    np.testing.assert_allclose(found.values, [2, 4, 8], rtol=2e-2)


def test_inner_products_and_sums_of_trees():
    a, b = {"x": jnp.asarray([1.0, 2.0]), "y": jnp.asarray(3.0)}, {"x": jnp.asarray([4.0, 5.0]), "y": jnp.asarray(6.0)}
    assert tree.vdot(a, b) == 32
    assert tree.vdot({}, {}) == 0
    ones = jnp.full(1000, 1.01, jnp.bfloat16)
    np.testing.assert_allclose(tree.vdot(ones, ones), 1000 * float(ones[0]) ** 2, rtol=1e-5)
    found = tree.add_scaled(a, -2.0, b)
    np.testing.assert_array_equal(found["x"], [-7.0, -8.0])


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match=r"steps must lie in \[1, 3\]"):
        optim.lanczos(lambda v: v, jnp.zeros(3), jax.random.key(0), 4)
    with pytest.raises(tree.TreeError, match="vector do not fit"):
        optim.hessian_vector_product(lambda p: jnp.sum(p["a"]), {"a": jnp.ones(2)}, {"a": jnp.ones(3)})
