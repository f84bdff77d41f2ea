"""Parts replaced by path: the tree is the model's own, the values are those of the model written by hand."""

import pickle

import chex
import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from fdl.checks import TreeError
from fdl.nn.rewire import map_parts, parts_of

KEY = jax.random.key(0)
X = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)


def block(width):
    return nn.serial(nn.dense(4, width), nn.relu, out=nn.dense(width, 4))


def silent(part):
    return nn.function(lambda h: jnp.zeros((3, 4)))


def test_a_replaced_part_gives_the_model_written_by_hand():
    model = nn.serial(first=block(5), second=nn.residual(block(5)))
    changed = nn.rewire(model, "second/serial_0/out", silent)
    params, state = changed.init(KEY)
    assert "out" not in params["second"]["serial_0"]
    y, _ = changed.apply(params, state, X)
    chex.assert_trees_all_close(y, block(5).apply(params["first"], {}, X)[0])


def test_parts_are_listed_inner_first_and_may_be_meant_by_value():
    model = nn.serial(body=block(3))
    assert list(parts_of(model)) == ["body/dense_0", "body/relu_0", "body/out", "body"]
    changed = nn.rewire(model, lambda path, part: part == nn.dense(4, 3), lambda part: part.replace(use_bias=False))
    assert changed.init(KEY)[0]["body"]["dense_0"].keys() == {"kernel"}


def test_groups_keep_their_form():
    def forward(x, heads):
        return heads[0](x) + heads[1](x)

    model = nn.wire(forward, heads=[nn.dense(4, 2), nn.dense(4, 2)])
    params, state = model.init(KEY)
    half = nn.rewire(model, "heads/1", lambda part: nn.function(lambda x: jnp.zeros((3, 2))))
    y, _ = half.apply({"heads": {"0": params["heads"]["0"]}}, state, X)
    chex.assert_trees_all_close(y, nn.dense(4, 2).apply(params["heads"]["0"], {}, X)[0])


def test_repeated_parts_are_replaced_at_once_and_the_result_is_a_value():
    model = nn.serial(blocks=nn.repeat(nn.remat(block(5)), 3))
    changed = nn.rewire(model, "blocks/out", silent)
    assert pickle.loads(pickle.dumps(changed)) == changed != model
    params, state = changed.init(KEY)
    chex.assert_trees_all_equal(changed.apply(params, state, X)[0], jnp.zeros_like(X))


def test_what_cannot_be_done_says_so():
    model = nn.serial(body=block(3))
    with pytest.raises(TreeError, match="matches nothing; the paths are"):
        nn.rewire(model, "tail", silent)
    sealed = nn.Layer(model.init, model.apply, model.parts)
    with pytest.raises(TreeError, match="has no `rebuild`"):
        nn.rewire(nn.serial(sealed=sealed), "sealed/body", silent)


def test_nothing_changed_is_the_same_model():
    model = nn.serial(body=block(3))
    assert map_parts(model, lambda path, part: part) is model


def test_a_value_can_be_made_again_with_other_arguments():
    assert nn.dense(4, 3, use_bias=False).replace(out_dim=5) == nn.dense(4, 5, use_bias=False)
    assert nn.causal_conv(2, 3, 2).replace(use_bias=False) == nn.causal_conv(2, 3, 2, use_bias=False)
    with pytest.raises(TypeError, match="dense has no 'width'; it has in_dim, out_dim"):
        nn.dense(4, 3).replace(width=5)
