"""Frozen parameters: no gradient, no slot, no decay, not a bit changed; the recipe of fine-tuning."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import losses, nn, optim, train, tree
from fdl.checks import TreeError

KEY = jax.random.key(0)
BODY = nn.serial(nn.dense(3, 5), nn.batch_norm(5), nn.relu)
MODEL = nn.serial(body=BODY, blocks=nn.repeat(nn.residual(nn.dense(5, 5)), 2), head=nn.dense(5, 2))
BATCH = {"x": np.linspace(-1, 1, 24, dtype=np.float32).reshape(8, 3), "label": np.arange(8, dtype=np.int32) % 2}


def loss_of(model):
    def loss_fn(params, state, batch, key):
        logits, state = model.apply(params, state, batch["x"], key=key, train=True)
        return losses.cross_entropy(logits, batch["label"]).mean(), (state, {})

    return loss_fn


def trained(model, steps=4):
    """(before, after) some steps of adamw with decay."""
    optimizer = optim.adamw(0.1, weight_decay=0.5, where="**")
    state = train.init_state(model.init, optimizer)
    before = jax.tree.map(jnp.copy, state)
    step = train.make_train_step(loss_of(model), optimizer)
    for _ in range(steps):
        state, _ = step(state, BATCH)
    return before, state


def moved_at_all(before, after):
    return {path for path, leaf in tree.flatten(after).items() if (tree.flatten(before)[path] != leaf).any()}


def test_frozen_leaves_have_no_gradient_and_no_slot_and_keep_every_bit():
    model = nn.freeze(MODEL, ["body/dense_0/*", "blocks/**"])
    before, after = trained(model)
    frozen = {"body/dense_0/bias", "body/dense_0/kernel", "blocks/dense_0/bias", "blocks/dense_0/kernel"}
    carried = {"body/batch_norm_0/mean", "body/batch_norm_0/var"}
    assert set(tree.flatten(after.state)) == frozen | carried
    assert moved_at_all(before.state, after.state) == carried
    assert moved_at_all(before.params, after.params) == set(tree.flatten(after.params))
    assert set(tree.flatten(after.params)) == set(tree.flatten(MODEL.init(KEY)[0])) - frozen
    for path in tree.flatten(after.opt_state):
        assert not any(path.endswith(name) for name in frozen)


def test_a_frozen_model_is_the_model(agrees):
    params, state = MODEL.init(KEY)
    frozen = nn.freeze(MODEL, "body/**")
    moved = nn.freeze_params(params, state, "body/**")
    chex.assert_trees_all_equal(moved, frozen.init(KEY))
    chex.assert_trees_all_equal(nn.thaw_params(MODEL, *moved), (params, state))
    want, after = MODEL.apply(params, state, BATCH["x"], train=True)
    got, still = frozen.apply(*moved, BATCH["x"], train=True)
    agrees.values("nn.freeze", "the model", got, want)
    agrees.values(
        "nn.freeze_params", "the model", frozen.apply(*moved, BATCH["x"])[0], MODEL.apply(params, state, BATCH["x"])[0]
    )
    agrees.values("nn.thaw_params", "the model", nn.thaw_params(MODEL, moved[0], still), (params, after))

    def ours(params):
        return frozen.apply(params, moved[1], BATCH["x"])[0].sum()

    want = tree.split(jax.grad(lambda params: MODEL.apply(params, state, BATCH["x"])[0].sum())(params), "body/**")[1]
    agrees.values("nn.freeze, gradient", "the model", jax.grad(ours)(moved[0]), want)


def test_fine_tuning_trains_the_adapters_alone_and_gives_the_model_back():
    adapted = nn.lora(MODEL, ["blocks/**/kernel", "head/kernel"], rank=2)
    tuned = nn.freeze(adapted, "base/**")
    before, after = trained(tuned)
    assert set(after.params) == {"adapter"}
    assert tree.count(after.params) == 2 * (5 * 2 + 2 * 5) + 5 * 2 + 2 * 2
    assert all("batch_norm" in path for path in moved_at_all(before.state, after.state))
    assert moved_at_all(before.params, after.params) == set(tree.flatten(after.params))
    params, state = nn.merged(adapted, *nn.thaw_params(adapted, after.params, after.state))
    chex.assert_trees_all_equal_shapes((params, state), MODEL.init(KEY))
    want = tuned.apply(after.params, after.state, BATCH["x"])[0]
    chex.assert_trees_all_close(MODEL.apply(params, state, BATCH["x"])[0], want, rtol=1e-5)


def test_frozen_parameters_follow_a_cast_but_their_state_does_not():
    model = nn.freeze(MODEL, ["body/dense_0/*", "head/kernel"])
    params, state = model.init(KEY)
    x = jnp.asarray(BATCH["x"], jnp.bfloat16)
    y, after = model.apply(tree.cast(params, jnp.bfloat16), state, x)
    assert y.dtype == jnp.bfloat16
    chex.assert_trees_all_equal(after, state)
    backbone = nn.freeze(nn.dense(3, 5), "**")
    assert backbone.apply(*backbone.init(KEY), x)[0].dtype == jnp.bfloat16


def test_a_frozen_part_is_a_part():
    model = nn.serial(body=nn.freeze(BODY, "**"), head=nn.dense(5, 2))
    params, state = model.init(KEY)
    assert set(params) == {"head"}
    assert set(state["body"]) == {"dense_0", "batch_norm_0"}
    smooth = nn.rewire(model, "body/relu_0", lambda part: nn.function(nn.tanh))
    want = nn.serial(body=nn.rewire(BODY, "relu_0", lambda part: nn.function(nn.tanh)), head=nn.dense(5, 2))
    thawed = nn.thaw_params(BODY, {}, state["body"])
    y, _ = want.apply({"body": thawed[0], "head": params["head"]}, {"body": thawed[1]}, BATCH["x"])
    chex.assert_trees_all_close(smooth.apply(params, state, BATCH["x"])[0], y, rtol=1e-6)


def test_a_pattern_that_means_nothing_is_refused():
    with pytest.raises(TreeError, match="matches nothing"):
        nn.freeze(MODEL, "tail/**")
    with pytest.raises(TreeError, match="matches nothing"):
        nn.freeze_params(*MODEL.init(KEY), "body/batch_norm_0/mean")
    with pytest.raises(TreeError, match="two of the trees have a leaf at 'body"):
        nn.freeze(MODEL, "body/**").apply(MODEL.init(KEY)[0], nn.freeze(MODEL, "body/**").init(KEY)[1], BATCH["x"])
