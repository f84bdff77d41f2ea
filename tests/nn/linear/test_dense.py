"""dense, maxout, embedding, parameter, flatten against torch and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError

KEY = jax.random.key(0)


def test_dense_equals_torch_value_and_gradients():
    torch = pytest.importorskip("torch")
    with jax.enable_x64(True):
        x, kernel, bias, out = (
            np.random.default_rng(i).normal(size=s) for i, s in enumerate([(4, 2, 5), (5, 3), 3, (4, 2, 3)])
        )
        params = {"kernel": jnp.asarray(kernel), "bias": jnp.asarray(bias)}
        loss = lambda params, x: jnp.sum(nn.dense(5, 3).apply(params, {}, x)[0] * out)
        grads, x_grad = jax.grad(loss, (0, 1))(params, jnp.asarray(x))
    t = [torch.tensor(a, requires_grad=True) for a in (x, kernel.T.copy(), bias)]
    (torch.nn.functional.linear(*t) * torch.tensor(out)).sum().backward()
    np.testing.assert_allclose(x_grad, t[0].grad, rtol=1e-12)
    np.testing.assert_allclose(grads["kernel"], t[1].grad.T, rtol=1e-12)
    np.testing.assert_allclose(grads["bias"], t[2].grad, rtol=1e-12)


def test_maxout_is_relu_and_the_lectures_leaky_relu_where_its_pieces_are():
    """lecture.md row 29: maxout(x, 0) = ReLU, maxout(x, .1x) = the slide's leaky ReLU."""
    x = jnp.linspace(-2, 2, 9)[:, None]
    params = lambda slope: {"kernel": jnp.array([[1.0, slope]]), "bias": jnp.zeros(2)}
    np.testing.assert_allclose(nn.maxout(1, 1).apply(params(0.0), {}, x)[0], nn.relu(x))
    np.testing.assert_allclose(nn.maxout(1, 1).apply(params(0.1), {}, x)[0], nn.lecture_leaky_relu(x), rtol=1e-6)


def test_every_maxout_unit_is_convex():
    layer = nn.maxout(3, 5, pieces=4)
    params, state = layer.init(KEY)
    a, b = jax.random.normal(KEY, (2, 100, 3))
    f = lambda x: layer.apply(params, state, x)[0]
    assert (f((a + b) / 2) <= (f(a) + f(b)) / 2 + 1e-6).all()


def test_embedding_looks_rows_up_and_shows_wrong_tokens():
    layer = nn.embedding(5, 3)
    params, state = layer.init(KEY)
    y, _ = layer.apply(params, state, jnp.array([[4, 0], [-1, 5]]))
    np.testing.assert_array_equal(y[0], params["table"][jnp.array([4, 0])])
    assert jnp.isnan(y[1]).all()
    with pytest.raises(DtypeError, match="must be integers, got float32"):
        layer.apply(params, state, jnp.ones(3))


def test_parameter_is_a_trained_array():
    layer = nn.parameter(2, 3, value_init=nn.constant(1.5))
    params, state = layer.init(KEY)
    np.testing.assert_array_equal(layer.apply(params, state)[0], np.full((2, 3), 1.5))
    assert nn.wire(lambda x, scale: x * scale(), scale=nn.parameter(3)).init(KEY)[0]["scale"]["value"].shape == (3,)


def test_flatten_keeps_the_batch():
    assert nn.flatten(jnp.ones((2, 3, 4))).shape == (2, 12)
    assert nn.flatten(jnp.ones((0, 3, 4))).shape == (0, 12)


def test_inputs_of_the_wrong_kind_get_a_hint():
    layer = nn.dense(784, 10)
    params, state = layer.init(KEY)
    with pytest.raises(DtypeError, match=r"must be floating point, got uint8\[2,784\]; cast it first"):
        layer.apply(params, state, jnp.zeros((2, 784), jnp.uint8))
    with pytest.raises(ShapeError, match=r"got \(2, 28, 28, 1\); put nn.flatten before this layer"):
        layer.apply(params, state, jnp.zeros((2, 28, 28, 1)))
