"""Recurrent layers in both directions and one on another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import TreeError
from tests.nn.recurrent.by_torch import call, close, flat, made, normal, runs, weights

X = jax.random.normal(jax.random.key(0), (3, 5, 3))
LENGTHS = jnp.array([4, 0, 5])


def add(a, b):
    return a + b


def test_both_directions_in_two_layers_are_those_of_torch(agrees):
    pytest.importorskip("torch")
    layer = nn.stacked(nn.bidirectional(nn.lstm(3, 4), nn.lstm(3, 4)), nn.bidirectional(nn.lstm(8, 4), nn.lstm(8, 4)))
    arrays, params_of = flat(layer)

    def theirs(*arrays):
        *arrays, x = arrays
        params, named = params_of(list(arrays)), {}
        for i in range(2):
            for way, suffix in [("forward", f"l{i}"), ("backward", f"l{i}_reverse")]:
                named |= weights("LSTM", params[f"bidirectional_{i}"][way], suffix)
        return call("LSTM", named, x, bidirectional=True, num_layers=2)[0]

    ours = runs(layer, params_of, len(arrays))
    agrees.torch("nn.stacked, two bidirectional layers", ours, theirs, *arrays, normal(30, 2, 5, 3))


def test_bidirectional_joins_what_its_two_cells_say():
    layer = nn.bidirectional(nn.gru(3, 2), nn.elman(3, 4), carried=True)
    params, call = made(layer), jax.jit(layer.apply)
    (y, last), _ = call(params, {}, X, None, LENGTHS)
    ways = {"forward": nn.unroll(nn.gru(3, 2), carried=True)}
    ways["backward"] = nn.unroll(nn.elman(3, 4), reverse=True, carried=True)
    said = {way: jax.jit(run.apply)(params[way], {}, X, None, LENGTHS)[0] for way, run in ways.items()}
    close(y, jnp.concatenate([said["forward"][0], said["backward"][0]], -1))
    close(last, {way: carry for way, (_, carry) in said.items()})
    summed = nn.bidirectional(nn.gru(3, 2), nn.gru(3, 2), join=add)
    assert jax.jit(summed.apply)(made(summed), {}, X)[0].shape == (3, 5, 2)
    close(call(params, {}, X, last, LENGTHS)[0][0][1], jnp.zeros((5, 6)))


def test_stacked_passes_lengths_and_carries_through_all_layers():
    layer = nn.stacked(nn.lstm(3, 4), nn.layer_norm(4), nn.stacked(nn.gru(4, 2)), top=nn.elman(2, 2), carried=True)
    params, call = made(layer), jax.jit(layer.apply)
    assert list(layer.parts) == ["lstm_0", "layer_norm_0", "stacked_0", "top"]
    (y, last), _ = call(params, {}, X, None, LENGTHS)
    assert set(last) == {"lstm_0", "stacked_0", "top"}
    h, _ = nn.unroll(nn.lstm(3, 4)).apply(params["lstm_0"], {}, X, None, LENGTHS)
    h, _ = nn.layer_norm(4).apply(params["layer_norm_0"], {}, h)
    h, _ = nn.unroll(nn.gru(4, 2)).apply(params["stacked_0"]["gru_0"], {}, h, None, LENGTHS)
    h, _ = nn.unroll(nn.elman(2, 2)).apply(params["top"], {}, h, None, LENGTHS)
    close(y, h)
    np.testing.assert_array_equal(y[1], 0)

    (whole, end), _ = call(params, {}, X)
    (first, carry), _ = call(params, {}, X[:, :2])
    (second, carry), _ = call(params, {}, X[:, 2:], carry)
    close((jnp.concatenate([first, second], 1), carry), (whole, end))


def test_stacked_cells_are_unrolled_layers_in_a_row():
    layer, row = nn.stacked(nn.gru(3, 4), nn.gru(4, 2)), nn.serial(nn.unroll(nn.gru(3, 4)), nn.unroll(nn.gru(4, 2)))
    params = made(layer)
    same = {"unroll_0": params["gru_0"], "unroll_1": params["gru_1"]}
    close(jax.jit(layer.apply)(params, {}, X)[0], jax.jit(row.apply)(same, {}, X)[0])


def test_an_encoder_hands_its_carry_to_a_decoder():
    def translate(source, target, *, encoder, decoder):
        _, carry = encoder(source)
        return decoder(target, carry)

    model = nn.wire(translate, encoder=nn.unroll(nn.gru(3, 4), carried=True), decoder=nn.unroll(nn.gru(3, 4)))
    params = made(model)
    y, _ = jax.jit(model.apply)(params, {}, X, X[:, :2])
    other, _ = jax.jit(model.apply)(params, {}, 2 * X, X[:, :2])
    assert y.shape == (3, 2, 4)
    assert jnp.abs(y - other).max() > 1e-3


def test_a_carry_of_other_parts_is_refused():
    layer = nn.stacked(nn.gru(3, 4))
    with pytest.raises(TreeError, match="the carry must hold gru_0, it holds lstm_0"):
        layer.apply(made(layer), {}, X, {"lstm_0": None})
    layer = nn.bidirectional(nn.gru(3, 4), nn.gru(3, 4))
    with pytest.raises(TreeError, match="the carry must hold forward, backward, it holds nothing"):
        layer.apply(made(layer), {}, X, {})
    with pytest.raises(TypeError, match="unroll takes a cell"):
        nn.bidirectional(nn.unroll(nn.gru(3, 4)), nn.gru(3, 4))
