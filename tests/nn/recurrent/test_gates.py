"""Gates: curves that are differentiated by their values, products apart or in one."""

import sys

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
