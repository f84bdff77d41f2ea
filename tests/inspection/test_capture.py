"""Captured outputs are those of the parts, and looking changes nothing."""

import chex
import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from fdl.checks import ShapeError, TreeError
from fdl.inspection import capture
from tests.inspection.models import deep
from tests.laws.test_layer_laws import LAYERS, batch_of, forward, made

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 4))
COMPOSITES = {name: case for name, case in LAYERS.items() if case.layer.parts}


@pytest.mark.parametrize("case", COMPOSITES.values(), ids=COMPOSITES)
def test_looking_changes_neither_output_nor_state(case):
    params, state = made(case)
    want = forward(case, params, state, batch_of(case), True)
    y, after, values = capture(case.layer, "**", params, state, batch_of(case), key=KEY, train=True)
    # A loop is a compiled program, which rounds in another order when it puts out more.
    chex.assert_trees_all_close((y, after), want, rtol=3e-7, atol=1e-7)
    chex.assert_trees_all_equal(values[""], y)
    assert len(values) > 1


def test_each_output_is_that_of_the_part_on_the_output_before(agrees):
    model = nn.serial(nn.dense(4, 3), nn.relu, head=nn.dense(3, 2))
    params, state = model.init(KEY)
    y, after, values = capture(model, ["dense_*", "relu_0", "head"], params, state, X)
    first = X @ params["dense_0"]["kernel"] + params["dense_0"]["bias"][None]
    want = {"dense_0": first, "relu_0": jnp.maximum(first, 0), "head": y}
    assert values.keys() == want.keys()
    assert after == state == {}
    agrees.values("inspection.capture", "closed form", values, want)


def test_calls_repetitions_and_groups_are_told_apart():
    model = deep()
    params, state = model.init(KEY)
    values = capture(model, "**", params, state, X)[2]
    shapes = {path: value.shape for path, value in values.items()}
    assert shapes["blocks/mlp/dense_0"] == shapes["blocks/mlp/dense_0#2"] == shapes["blocks/heads/1"] == (3, 6, 4)
    assert shapes["blocks"] == shapes["norm"] == (6, 4)
    assert "blocks/heads" not in values  # a group is never called
    x = X
    part = model.part("blocks/mlp")
    for i in range(3):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params["blocks"])
        before = capture(model, "dense_0", params, state, X)[2]["dense_0"] if i == 0 else x
        once = part.apply(own["mlp"], {}, before)[0]
        chex.assert_trees_all_close(values["blocks/mlp"][i], once, rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(
            values["blocks/mlp#2"][i], part.apply(own["mlp"], {}, once)[0], rtol=1e-5, atol=1e-6
        )
        left = nn.dense(4, 4).apply(own["heads"]["0"], {}, before)[0]
        right = nn.dense(4, 4).apply(own["heads"]["1"], {}, values["blocks/mlp#2"][i])[0]
        x = before + 0.1 * left * right


def test_capture_runs_under_jit_grad_and_vmap():
    model = deep()
    params, state = model.init(KEY)

    def heat(params, x):
        return jnp.sum(capture(model, "blocks/mlp", params, state, x)[2]["blocks/mlp#2"] ** 2)

    chex.assert_trees_all_close(jax.jit(heat)(params, X), heat(params, X), rtol=1e-5)
    gradient = jax.grad(heat)(params, X)
    chex.assert_trees_all_equal(gradient["head"], jax.tree.map(jnp.zeros_like, params["head"]))
    assert float(jnp.abs(gradient["dense_0"]["kernel"]).max()) > 0
    rows = jax.vmap(heat, (None, 0))(params, jnp.stack([X, 2 * X]))
    chex.assert_trees_all_close(rows, jnp.stack([heat(params, X), heat(params, 2 * X)]), rtol=1e-5)


def test_a_leaf_model_is_captured_under_the_empty_path():
    params, state = nn.dense(4, 3).init(KEY)
    y, _, values = capture(nn.dense(4, 3), "**", params, state, X)
    chex.assert_trees_all_equal(values, {"": y})


def test_a_part_called_inside_a_transform_of_the_forward_is_an_error_and_may_be_left_out():
    model = nn.wire(lambda x, body, head: head(jax.vmap(body)(x)), body=nn.dense(4, 4), head=nn.dense(4, 2))
    params, state = model.init(KEY)
    with pytest.raises(TypeError, match="inside a JAX transform of the forward"):
        capture(model, "body", params, state, X)
    y, _, values = capture(model, "head", params, state, X)
    chex.assert_trees_all_equal(values, {"head": y})


def test_errors_name_pattern_and_part():
    model = deep()
    params, state = model.init(KEY)
    with pytest.raises(TreeError, match="'tail' matches nothing; the paths are"):
        capture(model, "tail", params, state, X)
    with pytest.raises(ShapeError) as error:
        capture(model, "**", params, state, X[:, :3])
    assert error.value.__notes__[0].startswith("in dense_0: dense(in_dim=4, out_dim=4) on float32[6,3]")
    with pytest.raises(TreeError, match="the params of another model"):
        capture(model, "**", params | {"head": {"kernel": jnp.zeros((3, 2))}}, state, X)
