"""The contract of a layer, and what happens where it is broken."""

import pickle

import jax
import jax.numpy as jnp
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError, TreeError


def scale_by_two(x):
    return 2 * x


def model():
    return nn.serial(nn.dense(3, 4), nn.relu, nn.dropout(0.5), out=nn.dense(4, 2))


def test_a_layer_prints_equals_hashes_and_pickles_by_its_call():
    assert repr(nn.dense(3, 4)) == "dense(in_dim=3, out_dim=4)"
    assert repr(nn.dense(3, 4, kernel_init=nn.he_normal())) == "dense(in_dim=3, out_dim=4, kernel_init=he_normal())"
    assert repr(model()) == (
        "serial(dense(in_dim=3, out_dim=4), relu, dropout(rate=0.5), out=dense(in_dim=4, out_dim=2))"
    )
    assert model() == model()
    assert len({model(), model(), nn.dense(3, 4)}) == 2
    assert pickle.loads(pickle.dumps(model())) == model()


def test_a_layer_is_a_pytree_without_leaves_so_jit_takes_it_as_an_argument():
    traces = 0

    @jax.jit
    def forward(model, params, x):
        nonlocal traces
        traces += 1
        return model.apply(params, {}, x)[0]

    params, _ = nn.dense(3, 4).init(jax.random.key(0))
    forward(nn.dense(3, 4), params, jnp.ones((2, 3)))
    forward(nn.dense(3, 4), params, jnp.ones((2, 3)))
    assert traces == 1
    assert jax.tree.leaves(model()) == []


def test_parts_are_reached_by_path():
    assert list(model().parts) == ["dense_0", "relu_0", "dropout_0", "out"]
    assert model().part("out") == nn.dense(4, 2)
    assert nn.serial(body=model()).part("body/dense_0") == nn.dense(3, 4)
    with pytest.raises(TreeError, match="serial has no part 'decoder'; its parts are dense_0"):
        model().part("decoder")


def test_a_function_is_a_layer_without_parameters():
    doubled = nn.function(scale_by_two)
    assert repr(doubled) == "function(scale_by_two)"
    assert doubled.init(jax.random.key(0)) == ({}, {})
    assert doubled.apply({}, {}, 3)[0] == 6
    with pytest.raises(TypeError, match="a part must be a layer or a function, got 3"):
        nn.serial(3)


def test_errors_carry_path_layer_input_and_parameters():
    deep = nn.serial(nn.dense(3, 8), blocks=nn.repeat(nn.serial(mlp=nn.serial(nn.dense(8, 8), nn.dense(4, 8))), 2))
    params, state = deep.init(jax.random.key(0))
    with pytest.raises(ShapeError, match=r"must have shape \(\.\.\., 4\), got \(5, 8\)") as caught:
        jax.jit(deep.apply)(params, state, jnp.ones((5, 3)))
    notes = "\n".join(caught.value.__notes__)
    assert "in blocks/mlp/dense_1: dense(in_dim=4, out_dim=8) on float32[5,8]" in notes
    assert "kernel float32[4,8]" in notes
    assert sum("in " in note for note in caught.value.__notes__) <= 2  # ours once, and JAX's own


def test_errors_of_jax_and_of_users_are_placed_too():
    def broken(x):
        return x.reshape(-1, 7)

    made = nn.serial(nn.dense(3, 4), inner=nn.serial(broken))
    params, state = made.init(jax.random.key(0))
    with pytest.raises(TypeError) as caught:
        made.apply(params, state, jnp.ones((5, 3)))
    assert "in inner/broken_0: function(broken) on float32[5,4]" in caught.value.__notes__


def test_keys_must_be_typed_keys():
    with pytest.raises(DtypeError, match=r"got int; make one with jax.random.key\(seed\)"):
        model().init(0)
    with pytest.raises(DtypeError, match="got uint32"):
        model().init(jax.random.key_data(jax.random.key(0)))
    with pytest.raises(ShapeError, match="one key"):
        model().init(jax.random.split(jax.random.key(0)))


def test_a_missing_key_in_training_is_an_error_not_silence():
    params, state = model().init(jax.random.key(0))
    with pytest.raises(ValueError, match="dropout needs a key in training") as caught:
        model().apply(params, state, jnp.ones((5, 3)), train=True)
    assert "in dropout_0: dropout(rate=0.5) on float32[5,4]" in caught.value.__notes__


def test_params_of_another_model_are_refused():
    params, state = model().init(jax.random.key(0))
    x = jnp.ones((5, 3))
    with pytest.raises(TreeError, match="params hold 'dense_0', but the parts are body"):
        nn.serial(body=nn.dense(3, 4)).apply(params, state, x)
    with pytest.raises(TreeError, match=r"params must hold bias \(9,\), kernel \(3, 9\), they hold bias \(4,\)"):
        nn.serial(nn.dense(3, 9)).apply({"dense_0": params["dense_0"]}, state, x)
    with pytest.raises(TreeError, match="they hold nothing"):
        model().apply({}, state, x)
    with pytest.raises(TreeError, match="params must be the dict from init"):
        model().apply((params, state), state, x)


def test_stale_or_forgotten_state_is_refused():
    norm = nn.serial(nn.batch_norm(3))
    params, state = norm.init(jax.random.key(0))
    with pytest.raises(TreeError, match="state must be the dict from init, got float32"):
        norm.apply(params, jnp.ones((5, 3)))
    with pytest.raises(TreeError, match=r"state must hold \['mean', 'var'\], it holds nothing"):
        norm.apply(params, {}, jnp.ones((5, 3)))
    with pytest.raises(TreeError, match="state hold 'old'"):
        norm.apply(params, state | {"old": {}}, jnp.ones((5, 3)))
