"""The pass over the leaves: many leaves of few shapes share the rule in the program, and none of them can tell."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.optim.leaves import each_leaf, moments

RNG = np.random.default_rng(0)
PARAMS = {
    f"layer_{i}": {
        "kernel": jnp.asarray(RNG.normal(size=(3, 2)), float),
        "bias": jnp.asarray(RNG.normal(size=2), float),
    }
    for i in range(4)
}


@pytest.mark.parametrize(
    "optimizer", [optim.adamw(0.1), optim.amsgrad(0.1), optim.rprop(), optim.sgd(0.1, 0.9, nesterov=True)], ids=str
)
def test_a_leaf_moves_as_if_it_were_alone(optimizer):
    def three_steps(params):
        state = optimizer.init(params)
        for _ in range(3):
            updates, state = optimizer.update(params, state, params)
            params = optim.apply_updates(params, updates)
        return params

    together = jax.jit(three_steps)(PARAMS)
    for name, layer in PARAMS.items():
        alone = three_steps({name: layer})[name]  # two leaves, two shapes: nothing to share
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7), together[name], alone)


@pytest.mark.parametrize(
    ("around", "calls"),
    [(jax.jit, 2), (lambda f: f, 8), (jax.vmap, 8), (lambda f: jax.jit(jax.vmap(f)), 2)],
    ids=["jit", "eager", "vmap", "jit of vmap"],
)
def test_the_rule_is_traced_once_a_shape_in_a_program_and_never_compiled_outside(around, calls):
    seen = []

    def rule(update, mean):
        seen.append(update.shape)
        return update + mean, mean

    stacked = jax.tree.map(lambda leaf: leaf[None], PARAMS)
    around(lambda params: each_leaf(rule, params, moments(params)))(stacked)
    assert len(seen) == calls
