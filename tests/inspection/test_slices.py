"""Slices of a loss against its closed form, directions against the rule of the paper, spectra against eigh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from fdl import inspection, losses, nn, optim
from fdl.checks import TreeError

PARAMS = {"a": {"kernel": jnp.arange(6.0).reshape(3, 2)}, "b": jnp.array([1.0, -2.0])}
U = {"a": {"kernel": jnp.ones((3, 2))}, "b": jnp.array([0.0, 1.0])}
V = {"a": {"kernel": jnp.eye(3, 2)}, "b": jnp.array([2.0, 0.0])}


def square(params):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(params))


def test_slices_of_a_quadratic_are_quadratics():
    p, u, v = (np.asarray(ravel_pytree(tree)[0]) for tree in (PARAMS, U, V))
    line = inspection.loss_slice(square, PARAMS, U, radius=2.0, points=5)
    np.testing.assert_allclose(line.steps, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(line.values, [((p + a * u) ** 2).sum() for a in line.steps], rtol=1e-6)
    plane = inspection.loss_slice(square, PARAMS, U, V, points=3)
    want = [[((p + a * u + b * v) ** 2).sum() for b in plane.steps] for a in plane.steps]
    np.testing.assert_allclose(plane.values, want, rtol=1e-6)
    assert plane.values[1, 1] == square(PARAMS)


def test_a_direction_is_as_long_as_the_weights_of_each_output():
    params = {"conv": {"kernel": 5 * jax.random.normal(jax.random.key(0), (3, 3, 2, 4)), "bias": jnp.ones(4)}}
    found = inspection.filter_direction(params, jax.random.key(1))["conv"]
    length = lambda kernel: jnp.sqrt(jnp.sum(kernel**2, (0, 1, 2)))
    np.testing.assert_allclose(length(found["kernel"]), length(params["conv"]["kernel"]), rtol=1e-5)
    np.testing.assert_array_equal(found["bias"], 0)
    assert jnp.abs(found["kernel"] - params["conv"]["kernel"]).max() > 1
    narrow = inspection.filter_direction({"kernel": jnp.ones((4, 2), jnp.bfloat16)}, jax.random.key(1))
    assert narrow["kernel"].dtype == jnp.bfloat16


def test_lanczos_of_a_network_finds_the_ends_of_its_spectrum(agrees):
    rng = np.random.default_rng(0)
    model = nn.serial(nn.dense(4, 5), nn.tanh, nn.dense(5, 3))
    with jax.enable_x64(True):
        params = jax.tree.map(lambda p: p.astype(jnp.float64), model.init(jax.random.key(0))[0])
        x, label = jnp.asarray(rng.normal(size=(20, 4))), jnp.asarray(rng.integers(0, 3, 20))
        f = lambda params: losses.cross_entropy(model.apply(params, {}, x)[0], label).mean()
        flat, unravel = ravel_pytree(params)
        hessian = jax.jit(jax.hessian(lambda flat: f(unravel(flat))))(flat)
        product = lambda v: optim.hessian_vector_product(f, params, v)
        found = jax.jit(lambda key: optim.lanczos(product, params, key, 35))(jax.random.key(1))
    values = np.linalg.eigvalsh(hessian)
    assert values[0] < 0 < values[-1]
    ends = found.values[jnp.array([0, -1])]
    agrees.values("optim.lanczos, of a network's Hessian", "numpy.linalg.eigvalsh", ends, values[[0, -1]], most=1e-8)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((), {}, ValueError, "one direction or two, got 0"),
        ((U, U, U), {}, ValueError, "one direction or two, got 3"),
        ((U,), {"points": 4}, ValueError, "odd number"),
        ((U,), {"points": True}, ValueError, "odd number"),
        (({"a": U["a"]},), {}, TreeError, "direction"),
    ],
)
def test_wrong_use_is_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        inspection.loss_slice(square, PARAMS, *arguments, **options)
