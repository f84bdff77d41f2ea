"""Penalties on inner values: their number, and their gradient through the state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


def penalties(state):
    return sum(jnp.sum(leaf) for path, leaf in tree.flatten(state).items() if path.split("/")[-1] == "penalty")


def test_activity_penalties_are_means_over_examples(agrees):
    for name, f, want in (
        ("nn.l1_activity", nn.l1_activity(0.5), 0.5 * np.abs(X).sum(-1).mean()),
        ("nn.l2_activity", nn.l2_activity(0.5), 0.5 * (X**2).sum(-1).mean()),
    ):
        y, state = nn.penalty(f).apply({}, {"penalty": jnp.zeros(())}, X, train=True)
        agrees.values(name, "closed form", f(X), want)
        agrees.values("nn.penalty", "closed form", state["penalty"], want)
        np.testing.assert_array_equal(y, X)


@pytest.mark.parametrize("wrap", [lambda part: nn.repeat(part, 3), lambda part: nn.repeat(nn.remat(part), 3)])
def test_the_gradient_of_a_penalty_flows_through_the_state(wrap, agrees):
    part = nn.serial(nn.dense(3, 3), nn.penalty(nn.l2_activity(0.1)), nn.tanh)
    model = wrap(part)
    params, state = model.init(KEY)
    assert state["penalty_0"]["penalty"].shape == (3,)

    def loss(params):
        y, after = model.apply(params, state, X, train=True)
        return jnp.sum(y) + penalties(after)

    def by_hand(params):
        x, total = X, 0.0
        for i in range(3):
            h = x @ params["dense_0"]["kernel"][i] + jnp.broadcast_to(params["dense_0"]["bias"][i], (4, 3))
            total += 0.1 * jnp.sum(h**2) / 4
            x = jnp.tanh(h)
        return jnp.sum(x) + total

    agrees.values("nn.penalty, gradient", "by hand", jax.jit(jax.grad(loss))(params), jax.grad(by_hand)(params))


def test_evaluation_leaves_the_state_alone_and_sixteen_bits_are_summed_in_float32():
    layer = nn.penalty(nn.l1_activity(1.0))
    _, state = layer.apply({}, {"penalty": jnp.float32(7)}, X)
    assert state["penalty"] == 7
    many = jnp.full((1, 3000), 1.0, jnp.bfloat16)
    y, state = layer.apply({}, {"penalty": jnp.zeros(())}, many, train=True)
    assert (y.dtype, state["penalty"].dtype, float(state["penalty"])) == (jnp.bfloat16, jnp.float32, 3000.0)


def test_a_penalty_must_be_one_number():
    with pytest.raises(ShapeError, match="what a penalty returns must have shape"):
        nn.penalty(jnp.abs).apply({}, {"penalty": jnp.zeros(())}, X, train=True)
