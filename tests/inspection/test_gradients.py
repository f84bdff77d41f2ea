"""Norms of gradients, layer by layer, against Jacobians written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models, nn
from fdl.inspection import gradient_norms

DEPTH, DIM = 6, 4
X = np.random.default_rng(0).normal(size=(3, DIM))
SLOPE = np.cos(np.arange(3 * DIM)).reshape(3, DIM)  # of the loss by the output: without symmetry


def stack(dim):
    return nn.repeat(models.plain_block(dim, kernel_init=nn.normal(0.7)), DEPTH)


def found(model, params, x, slope):
    norms = gradient_norms(model, "tanh_0", params, {}, jnp.asarray(x), loss=lambda y: jnp.sum(y * slope))
    return norms["tanh_0"]


def jacobians(params, x):
    """For every example, that of each layer's output by the output of the layer below: diag(1 - h²) Wᵀ."""
    h, all_of_them = x, []
    for kernel, bias in zip(np.asarray(params["dense_0"]["kernel"]), np.asarray(params["dense_0"]["bias"])):
        h = np.tanh(h @ kernel + bias)
        all_of_them.append((1 - h**2)[:, :, None] * kernel.T)
    return all_of_them


def test_norms_are_those_of_products_of_jacobians(agrees):
    with jax.enable_x64(True):
        model = stack(DIM)
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), model.init(jax.random.key(0))[0])
        gradient, want = SLOPE, [np.linalg.norm(SLOPE)]
        for jacobian in jacobians(params, X)[:0:-1]:
            gradient = np.einsum("bi,bij->bj", gradient, jacobian)
            want.append(np.linalg.norm(gradient))
        got = jax.jit(lambda params: found(model, params, X, jnp.asarray(SLOPE)))(params)
        agrees.values("inspection.gradient_norms", "numpy, Jacobians", got, np.array(want[::-1]), most=1e-12)


def test_with_one_unit_a_layer_the_ratio_is_the_product_of_the_norms_of_the_jacobians():
    model = stack(1)
    params, _ = model.init(jax.random.key(1))
    x = X[:1, :1]
    got = np.asarray(found(model, params, x.astype(np.float32), jnp.ones((1, 1))))
    sizes = [np.linalg.norm(jacobian[0], 2) for jacobian in jacobians(params, x)[1:]]
    assert got[0] / got[-1] == pytest.approx(np.prod(sizes), rel=1e-5)


def test_parts_called_twice_and_parts_that_gradients_do_not_reach():
    def forward(x, inner, aside):
        return inner(inner(x)) + 0 * jax.lax.stop_gradient(aside(x))

    model = nn.wire(forward, inner=nn.dense(DIM, DIM), aside=nn.dense(DIM, DIM))
    params, state = model.init(jax.random.key(0))
    x = jnp.asarray(X, jnp.float32)
    norms = gradient_norms(model, "*", params, state, x, loss=lambda y: jnp.sum(y**2))
    y = model.apply(params, state, x)[0]
    assert float(norms["inner#2"]) == pytest.approx(float(jnp.linalg.norm(2 * y)), rel=1e-5)
    assert float(norms["inner"]) == pytest.approx(float(jnp.linalg.norm(2 * y @ params["inner"]["kernel"].T)), rel=1e-5)
    assert float(norms["aside"]) == 0
