"""Penalties of parameters by pattern, and those that layers leave in the state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import ShapeError, TreeError
from fdl.losses import orthogonal_penalty, state_penalty, weight_penalty

RNG = np.random.default_rng(0)
ONE, TWO, BIAS = RNG.normal(size=(3, 5)), RNG.normal(size=(2, 3, 4)), RNG.normal(size=5)


def tree_of(one, two, bias):
    return {"a": {"kernel": one, "bias": bias}, "b": {"c": {"kernel": two}}}


def test_weights_equal_torch(agrees):
    pytest.importorskip("torch")
    ours = lambda *arrays: weight_penalty(tree_of(*arrays), l1=0.3, l2=0.2)
    theirs = lambda one, two, bias: sum(0.3 * w.abs().sum() + 0.2 * w.square().sum() for w in (one, two))
    agrees.torch("losses.weight_penalty", ours, theirs, ONE, TWO, BIAS)
    ours = lambda *arrays: weight_penalty(tree_of(*arrays), ["a/*", "**/kernel"], l2=0.5)
    theirs = lambda *arrays: sum(w.square().sum() for w in arrays) / 2
    agrees.torch("losses.weight_penalty, patterns", ours, theirs, ONE, TWO, BIAS)


def test_weights_at_zero_are_left_alone():
    params = {"kernel": jnp.zeros((2, 3))}
    np.testing.assert_array_equal(jax.grad(partial(weight_penalty, l1=1.0, l2=1.0))(params)["kernel"], 0)
    low = {"kernel": jnp.full((100, 100), 0.1, jnp.bfloat16)}
    assert weight_penalty(low, l2=1.0) == pytest.approx(100, rel=1e-2)
    assert weight_penalty(low, l2=1.0).dtype == jnp.float32


def test_angles_equal_torch(agrees):
    torch = pytest.importorskip("torch")

    def theirs(one, two, bias):
        flat = two.reshape(6, 4)
        return ((one @ one.T - torch.eye(3)) ** 2).sum() + ((flat.T @ flat - torch.eye(4)) ** 2).sum()

    agrees.torch("losses.orthogonal_penalty", lambda *w: orthogonal_penalty(tree_of(*w)), theirs, ONE, TWO, BIAS)
    turn = jnp.linalg.qr(jnp.asarray(RNG.normal(size=(5, 5)), jnp.float32))[0]
    for kernel in (turn, turn[:3], turn[:, :3]):
        assert orthogonal_penalty({"kernel": kernel}) == pytest.approx(0, abs=1e-5)
    stacked = jax.vmap(orthogonal_penalty)({"kernel": jnp.stack([turn, 2 * turn])})
    np.testing.assert_allclose(stacked, [0, 9 * 5], atol=1e-3)


def test_state_is_summed_by_name(agrees):
    state = {"moe": {"load": {"penalty": jnp.float32(2.0)}, "mean": jnp.ones(3)}, "penalty": jnp.array([0.5, 1.0])}
    agrees.values("losses.state_penalty", "closed form", state_penalty(state), 3.5)
    gradient = jax.grad(lambda x: state_penalty({"a": {"penalty": x**2}, "b": x}))(3.0)
    assert gradient == 6
    assert state_penalty({}) == 0
    assert state_penalty({"a": {"mean": jnp.ones(2)}}) == 0


def test_patterns_that_match_nothing_are_errors():
    params = tree_of(jnp.ones((3, 5)), jnp.ones((2, 3, 4)), jnp.ones(5))
    for penalty in (partial(weight_penalty, l2=1.0), orthogonal_penalty):
        with pytest.raises(TreeError, match="matches nothing"):
            penalty(params, "**/kernels")
    with pytest.raises(ShapeError, match="2 axes or more"):
        orthogonal_penalty(params, "a/bias")
    with pytest.raises(ValueError, match="l1 and l2 must be 0 or more"):
        weight_penalty(params, l1=-1.0)
