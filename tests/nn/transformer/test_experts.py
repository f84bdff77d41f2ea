"""Mixtures of experts against a loop over tokens, the limits of capacity, and the loss that spreads the load."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn, tree
from fdl.checks import ShapeError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(2, 5, 3))


def experts(**options):
    return nn.mixture_of_experts(3, nn.serial(nn.dense(3, 4), nn.tanh, nn.dense(4, 3)), 4, **options)


def loop(top, room, x, router, *kernels):
    """One token after another in torch: first choices of all tokens, then second ones, until an expert is full."""
    import torch

    k0, b0, k1, b1 = kernels
    tokens = x.reshape(-1, 3)
    chances = torch.softmax(tokens @ router, -1)
    weights, chosen = torch.topk(chances, top)
    weights = weights / weights.sum(-1, keepdim=True) if top > 1 else weights
    y, taken = [torch.zeros(3, dtype=x.dtype) for _ in tokens], [0] * 4
    for choice in range(top):
        for i, token in enumerate(tokens):
            e = int(chosen[i, choice])
            taken[e] += 1
            if taken[e] <= room:
                h = torch.tanh(token @ k0[e] + b0[e]) @ k1[e] + b1[e]
                y[i] = y[i] + weights[i, choice] * h
    return torch.stack(y).reshape(x.shape)


@pytest.mark.parametrize(("top", "capacity", "train"), [(1, 1.0, True), (2, 0.5, True), (2, 1.25, False), (4, 9, True)])
def test_every_token_meets_its_experts_until_they_are_full(agrees, top, capacity, train):
    layer = experts(top=top, capacity=capacity)
    params, state = layer.init(KEY)
    paths = ["router/kernel", *(f"experts/dense_{i}/{name}" for i in (0, 1) for name in ("kernel", "bias"))]
    leaves = [np.asarray(tree.flatten(params)[path]) for path in paths]
    room = int(np.ceil(capacity * top * 10 / 4)) if train else 10

    def ours(x, *leaves):
        return layer.apply(tree.unflatten(dict(zip(paths, leaves))), state, x, train=train)[0]

    agrees.torch(
        "nn.mixture_of_experts", ours, lambda *a: loop(top, room, *a), X, *leaves, source="loop over tokens in torch"
    )


def test_the_penalty_is_that_of_the_switch_transformer_and_moves_the_router(agrees):
    layer = experts(top=1, balance=0.1)
    params, state = layer.init(KEY)
    x = jnp.asarray(X, jnp.float32)
    chances = np.asarray(jax.nn.softmax(x.reshape(-1, 3) @ params["router"]["kernel"]))
    share = np.bincount(chances.argmax(-1), minlength=4) / 10
    _, after = layer.apply(params, state, x, train=True)
    agrees.values(
        "nn.mixture_of_experts, balance", "numpy", after["load"]["penalty"], 0.1 * 4 * share @ chances.mean(0)
    )
    loss = lambda params: layer.apply(params, state, x, train=True)[1]["load"]["penalty"]
    assert np.abs(jax.grad(loss)(params)["router"]["kernel"]).sum() > 0


def test_an_even_load_has_the_least_penalty():
    layer = experts(top=1, balance=1.0)
    params, state = layer.init(KEY)
    params["router"]["kernel"] = 50 * jnp.eye(3, 4)
    even = layer.apply(params, state, jnp.eye(3), train=True)[1]["load"]["penalty"]
    uneven = layer.apply(params, state, jnp.ones((3, 3)) * jnp.array([1.0, 0, 0])[None], train=True)[1]["load"][
        "penalty"
    ]
    assert even == pytest.approx(4 / 3, rel=1e-3)
    assert uneven == pytest.approx(4.0, rel=1e-3)


def test_who_finds_no_room_passes_with_zero():
    layer = experts(top=1, capacity=0.4)  # one seat an expert for ten tokens
    params, state = layer.init(KEY)
    params["router"]["kernel"] = jnp.zeros((3, 4)).at[:, 2].set(1.0)
    x = jnp.ones((10, 3))
    y, _ = layer.apply(params, state, x, train=True)
    assert np.abs(y[0]).sum() > 0
    np.testing.assert_array_equal(y[1:], 0)
    assert layer.apply(params, state, jnp.ones((0, 3)), train=True)[0].shape == (0, 3)


def test_refusals():
    with pytest.raises(ValueError, match="top must be between 1 and count, got top 5 of 4"):
        experts(top=5)
    with pytest.raises(ValueError, match="capacity must be positive"):
        experts(capacity=0)
    params, state = experts().init(KEY)
    with pytest.raises(ShapeError, match="must have shape"):
        experts().apply(params, state, jnp.ones((2, 4)))
