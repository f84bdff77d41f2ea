"""Layer-sequential unit variance: what every layer puts out has variance 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn

KEY = jax.random.key(0)


def test_every_output_before_a_relu_has_variance_one(agrees):
    model = nn.serial(nn.conv(2, 6, 3), nn.relu, nn.flatten, *(nn.dense(150, 150), nn.relu) * 6, out=nn.dense(150, 4))
    params, state = model.init(KEY)
    x = 5 + 3 * jax.random.normal(jax.random.key(1), (64, 5, 5, 2))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    made = nn.lsuv(model, params, state, x, KEY)
    h, variances = x, []
    for name, part in model.parts.items():
        h, _ = part.apply(made.get(name, {}), {}, h)
        if "relu" not in name and "flatten" not in name:
            variances.append(np.var(h))
    assert len(variances) == 8
    agrees.values("nn.lsuv", "variance 1", np.array(variances), np.ones(8), most=0.02)
    kernel = np.asarray(made["dense_3"]["kernel"], np.float64)
    gram = kernel.T @ kernel
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(150), atol=1e-4 * gram[0, 0])
    np.testing.assert_array_equal(made["dense_3"]["bias"], params["dense_3"]["bias"])


def test_the_order_is_that_of_execution_and_repetitions_are_layers():
    def forward(x, late, early):
        return late(jnp.tanh(early(x)))

    block = nn.serial(nn.dense(20, 30), nn.relu, nn.dense(30, 20))
    model = nn.wire(forward, late=nn.repeat(block, 3), early=nn.dense(7, 20))
    x = 10 * jax.random.normal(KEY, (200, 7))
    params = nn.lsuv(model, *model.init(KEY), x, KEY)
    h, _ = nn.dense(7, 20).apply(params["early"], {}, x)
    assert abs(np.var(h) - 1) < 0.01
    h = jnp.tanh(h)
    for i in range(3):
        for name in ("dense_0", "dense_1"):
            own = jax.tree.map(lambda leaf, i=i: leaf[i], params["late"][name])
            h = jax.nn.relu(h) if name == "dense_1" else h
            h = h @ own["kernel"] + jnp.broadcast_to(own["bias"], (200, own["bias"].size))
            assert abs(np.var(h) - 1) < 0.02


@pytest.mark.parametrize("model", [nn.dense(5, 3), nn.serial(nn.dense(5, 3), nn.batch_norm(3))], ids=["leaf", "state"])
def test_a_single_layer_and_a_layer_with_state(model):
    params, state = model.init(KEY)
    x = 3 * jax.random.normal(KEY, (50, 5))
    made = nn.lsuv(model, params, state, x, KEY)
    assert abs(np.var(model.apply(made, state, x)[0]) - 1) < 0.011


def test_outputs_that_do_not_vary_are_left_alone():
    model = nn.dense(5, 3)
    made = nn.lsuv(model, *model.init(KEY), jnp.zeros((4, 5)), KEY)
    np.testing.assert_allclose(made["kernel"].T @ made["kernel"], np.eye(3), atol=1e-6)
