"""Gates: curves that are differentiated by their values, products apart or in one."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn.recurrent.gates import sigmoid, tanh
from tests.nn.recurrent.by_torch import close

X = jnp.linspace(-6, 6, 101)


@pytest.mark.parametrize(("gate", "curve"), [(sigmoid, nn.sigmoid), (tanh, nn.tanh)])
def test_a_gate_is_its_curve_to_second_order(gate, curve):
    for order in range(3):
        np.testing.assert_allclose(jax.vmap(gate)(X), jax.vmap(curve)(X), rtol=2e-5, atol=1e-6, err_msg=str(order))
        gate, curve = jax.grad(gate), jax.grad(curve)


@pytest.mark.parametrize("cell", [nn.lstm(3, 4), nn.gru(3, 4), nn.gru(3, 4, reset_after=False)])
def test_one_product_for_all_gates_gives_what_a_product_each_gives(cell, monkeypatch):
    layer, x = nn.unroll(cell), jax.random.normal(jax.random.key(0), (2, 6, 3))
    params, _ = layer.init(jax.random.key(1))
    gradient = lambda: jax.value_and_grad(lambda params: jnp.sum(layer.apply(params, {}, x)[0] ** 2))(params)
    products = lambda: str(jax.make_jaxpr(lambda params: layer.apply(params, {}, x)[0])(params)).count("= dot_general")
    apart, number = gradient(), products()
    monkeypatch.setattr(sys.modules["fdl.nn.recurrent.gates"], "on_cpu", lambda: False)
    assert products() < number
    close(gradient(), apart, rtol=1e-5)


@pytest.mark.parametrize(("cell", "gates"), [(nn.lstm, 4), (nn.gru, 3), (partial(nn.gru, reset_after=False), 3)])
def test_the_backward_pass_takes_no_product_of_the_carry_again(cell, gates, monkeypatch):
    monkeypatch.setattr(sys.modules["fdl.nn.recurrent.gates"], "on_cpu", lambda: True)
    layer = nn.unroll(cell(3, 4))
    loss = lambda params, x: jnp.sum(layer.apply(params, {}, x)[0])
    program = str(jax.make_jaxpr(jax.grad(loss))(jax.eval_shape(layer.init, jax.random.key(0))[0], jnp.ones((2, 5, 3))))
    assert program.count("f32[2,4] = dot_general") == 2 * gates  # on the way forward, and of the carry's gradient
