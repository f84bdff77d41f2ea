"""Groups by pattern: first match wins, nothing is left over, each is as if alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import optim
from fdl.checks import DtypeError, TreeError

PARAMS = {
    "head": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)},
    "trunk": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)},
}
GRADS = jax.tree.map(lambda p: jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape), PARAMS)
GROUPS = optim.groups({"head/**": optim.adam(0.1), "**/bias": optim.sgd(0.5, 0.9), "**": optim.freeze()})


def test_each_group_moves_as_if_it_were_alone(agrees):
    params, state = PARAMS, GROUPS.init(PARAMS)
    head, head_state = PARAMS["head"], optim.adam(0.1).init(PARAMS["head"])
    for _ in range(3):
        updates, state = jax.jit(GROUPS.update)(GRADS, state, params)
        params = optim.apply_updates(params, updates)
        moved, head_state = optim.adam(0.1).update(GRADS["head"], head_state, head)
        head = optim.apply_updates(head, moved)
    agrees.values("optim.groups, adam", "alone", params["head"], head)
    velocity = 1 + 1.9 + (1 + 0.9 * 1.9)
    wanted = 1 - 0.5 * velocity * np.asarray(GRADS["trunk"]["bias"], float)
    agrees.values("optim.groups, momentum", "closed form", params["trunk"]["bias"], wanted)
    agrees.values("optim.freeze", "closed form", params["trunk"]["kernel"], np.ones((2, 2), "f"))


def test_a_frozen_group_costs_no_state_and_ignores_nan():
    state = GROUPS.init(PARAMS)
    assert jax.tree.leaves(state.inner["**"]) == []
    bad = GRADS | {"trunk": jax.tree.map(lambda g: g * jnp.nan, GRADS["trunk"])}
    updates, _ = GROUPS.update(bad, state, PARAMS)
    np.testing.assert_array_equal(updates["trunk"]["kernel"], np.zeros((2, 2)))


def test_the_table_says_who_is_where(agrees):
    lines = optim.group_table(GROUPS, PARAMS).splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["head/bias", "float32[3]", "head/**"],
        ["head/kernel", "float32[2,3]", "head/**"],
        ["trunk/bias", "float32[2]", "**/bias"],
        ["trunk/kernel", "float32[2,2]", "**"],
    ]
    assert lines[3].endswith("freeze()")
    agrees.values("optim.group_table", "count of parameters", np.float32(len(lines)), np.float32(4))


def test_a_group_sees_its_own_gradient_and_loss():
    def update(updates, state, params=None, *, grad, value_fn, **extras):
        slope = jax.grad(value_fn)(params)
        return jax.tree.map(lambda a, b: a - b, slope, grad), state

    checked = optim.groups({"head/**": optim.Transform(lambda params: (), update), "**": optim.sgd(1.0)})
    loss = lambda params: sum(jnp.sum(p**2) for p in jax.tree.leaves(params))
    grads = jax.grad(loss)(PARAMS)
    updates, _ = checked.update(grads, checked.init(PARAMS), PARAMS, value=loss(PARAMS), grad=grads, value_fn=loss)
    np.testing.assert_array_equal(updates["head"]["kernel"], np.zeros((2, 3)))
    np.testing.assert_array_equal(updates["trunk"]["kernel"], np.full((2, 2), -2.0))


def test_bad_input_is_refused():
    with pytest.raises(TreeError, match="no pattern matches 'trunk/bias', 'trunk/kernel'"):
        optim.groups({"head/**": optim.sgd(0.1)}).init(PARAMS)
    with pytest.raises(TreeError, match=r"pattern 'heads/\*\*' comes first for no leaf; the paths are 'head/bias'"):
        optim.groups({"heads/**": optim.sgd(0.1), "**": optim.freeze()}).init(PARAMS)
    with pytest.raises(DtypeError, match="'steps' is int32"):
        optim.groups({"**": optim.freeze()}).init({"steps": jnp.arange(2)})
    with pytest.raises(TypeError, match="must be the GroupsState"):
        GROUPS.update(GROUPS.init(PARAMS), GRADS, PARAMS)
    with pytest.raises(TypeError, match="group_table shows what groups made, got sgd"):
        optim.group_table(optim.sgd(0.1), PARAMS)
