"""Constraints: closed forms of each projection, and parameters in their sets after every step."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import TreeError

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(5, 4)).astype(np.float32)
WINDOW = RNG.normal(size=(3, 2, 5, 4)).astype(np.float32)


def norms(x, axis=None):
    return np.sqrt(
        (np.asarray(x, np.float64) ** 2).sum(tuple(range(x.ndim - 1)) if axis is None else axis, keepdims=True)
    )


@pytest.mark.parametrize("x", [KERNEL, WINDOW], ids=["dense", "conv"])
def test_projections_are_their_closed_forms(x, agrees):
    norm = norms(x)
    middle = float(np.median(norm))
    agrees.values("optim.max_norm", "closed form", optim.max_norm(middle)(x), x * np.minimum(1, middle / norm))
    agrees.values("optim.unit_norm", "closed form", optim.unit_norm()(x), x / norm)
    agrees.values("optim.non_negative", "closed form", optim.non_negative(x), np.maximum(x, 0))
    low, high = 0.9 * middle, 1.05 * middle
    for rate in (1.0, 0.3):
        wanted = rate * np.clip(norm, low, high) + (1 - rate) * norm
        got = optim.min_max_norm(low, high, rate=rate)(x)
        agrees.values("optim.min_max_norm", "closed form", got, x * wanted / norm)


@pytest.mark.parametrize(
    "onto", [optim.max_norm(0.5), optim.unit_norm(), optim.non_negative], ids=["max norm", "unit norm", "non negative"]
)
def test_a_projection_leaves_the_set_alone(onto):
    once = onto(jnp.asarray(KERNEL))
    np.testing.assert_allclose(onto(once), once, rtol=1e-6)


def test_max_norm_gives_the_nearest_point_of_the_ball():
    point = optim.max_norm(1.0)(jnp.asarray(KERNEL))
    others = RNG.normal(size=(1000, *KERNEL.shape))
    others = others / np.maximum(1, np.sqrt((others**2).sum(1, keepdims=True)))
    distance = lambda other: ((KERNEL - other) ** 2).sum(-2)
    assert (distance(point)[None] <= distance(others) + 1e-6).all()


def test_zeros_stay_zeros_and_stacked_kernels_name_their_axes():
    np.testing.assert_array_equal(optim.unit_norm()(jnp.zeros((3, 2))), np.zeros((3, 2)))
    stacked = RNG.normal(size=(2, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(norms(optim.unit_norm(axis=-2)(stacked), -2), np.ones((2, 1, 3)), rtol=1e-6)
    np.testing.assert_allclose(norms(optim.unit_norm(axis=(1, 2))(stacked), (1, 2)), np.ones((2, 1, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("onto", "inside"),
    [
        (optim.max_norm(0.7), lambda p: (norms(p) <= 0.7 + 1e-6).all()),
        (optim.unit_norm(), lambda p: np.allclose(norms(p), 1, atol=1e-6)),
        (optim.min_max_norm(0.2, 0.4), lambda p: ((norms(p) > 0.2 - 1e-6) & (norms(p) < 0.4 + 1e-6)).all()),
        (optim.non_negative, lambda p: (np.asarray(p) >= 0).all()),
    ],
    ids=["max norm", "unit norm", "min max norm", "non negative"],
)
def test_parameters_lie_in_the_set_after_every_step(onto, inside):
    optimizer = optim.chain(optim.adam(0.3), optim.project(onto))

    @partial(jax.jit, static_argnums=0)
    def step(optimizer, i, params, state):
        updates, state = optimizer.update(jax.tree.map(lambda p: jnp.cos(p + i), params), state, params)
        return optim.apply_updates(params, updates), state

    params = {"kernel": jnp.asarray(KERNEL), "bias": jnp.ones(4)}
    state = optimizer.init(params)
    free, free_state = params, optim.adam(0.3).init(params)
    for i in range(3):
        params, state = step(optimizer, float(i), params, state)
        free, free_state = step(optim.adam(0.3), float(i), free, free_state)
        assert inside(params["kernel"])
    np.testing.assert_allclose(params["bias"], free["bias"], rtol=1e-6)


def test_projected_descent_ends_at_the_constrained_minimum(agrees):
    # The least |p - KERNEL|² with p >= 0 is max(KERNEL, 0).
    optimizer = optim.chain(optim.sgd(0.2), optim.project(optim.non_negative, "**"))
    params = {"p": jnp.ones((5, 4))}
    state = optimizer.init(params)
    for _ in range(60):
        updates, state = optimizer.update(jax.tree.map(lambda p: p - KERNEL, params), state, params)
        params = optim.apply_updates(params, updates)
    agrees.values("optim.project", "constrained minimum", params["p"], np.maximum(KERNEL, 0))


def test_wrong_use_is_refused():
    with pytest.raises(ValueError, match="limit must lie in"):
        optim.max_norm(-1.0)
    with pytest.raises(ValueError, match="high must lie in"):
        optim.min_max_norm(2.0, 1.0)
    with pytest.raises(ValueError, match="rate must lie in"):
        optim.min_max_norm(0.0, 1.0, rate=2.0)
    with pytest.raises(TreeError, match="matches nothing"):
        optim.project(optim.unit_norm()).init({"bias": jnp.ones(2)})
    with pytest.raises(TypeError, match="needs the parameters"):
        optim.project(optim.unit_norm(), "**").update({"p": jnp.ones(2)}, ())
