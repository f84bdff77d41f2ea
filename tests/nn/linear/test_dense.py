"""dense, maxout, embedding, unembed, parameter against torch and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import DtypeError, ShapeError

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X, KERNEL, BIAS = RNG.normal(size=(4, 2, 5)), RNG.normal(size=(5, 6)), RNG.normal(size=6)


def test_dense_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch(
        "nn.dense",
        lambda x, kernel, bias: nn.dense(5, 6).apply({"kernel": kernel, "bias": bias}, {}, x)[0],
        lambda x, kernel, bias: torch.nn.functional.linear(x, kernel.T, bias),
        X,
        KERNEL,
        BIAS,
    )


def test_the_gradient_of_the_kernel_sums_over_one_axis():
    """XLA on a CPU copies x first where the sum is over several."""
    layer = nn.dense(5, 6)
    params, _ = layer.init(KEY)
    program = str(
        jax.make_jaxpr(jax.grad(lambda params, x: layer.apply(params, {}, x)[0].sum()))(params, jnp.ones((4, 2, 5)))
    )
    assert "[0, 1]" not in program
    assert layer.apply(params, {}, jnp.zeros((0, 3, 5)))[0].shape == (0, 3, 6)


def test_maxout_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch(
        "nn.maxout",
        lambda x, kernel, bias: nn.maxout(5, 2, pieces=3).apply({"kernel": kernel, "bias": bias}, {}, x)[0],
        lambda x, kernel, bias: torch.nn.functional.linear(x, kernel.T, bias).unflatten(-1, (3, 2)).amax(-2),
        X,
        KERNEL,
        BIAS,
    )


def test_embedding_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    agrees.torch(
        "nn.embedding",
        lambda tokens, table: nn.embedding(7, 3).apply({"table": table}, {}, tokens)[0],
        torch.nn.functional.embedding,
        np.array([[4, 0, 6], [4, 1, 4]]),
        RNG.normal(size=(7, 3)),
    )


def test_gradients_of_a_16_bit_embedding_are_summed_in_float32():
    layer, tokens = nn.embedding(3, 2), jnp.ones((1000,), jnp.int32)
    table = jnp.ones((3, 2), jnp.bfloat16)
    slope = jax.grad(lambda table: layer.apply({"table": table}, {}, tokens)[0].sum(dtype=jnp.float32))(table)
    assert slope.dtype == jnp.bfloat16
    np.testing.assert_array_equal(slope.astype(jnp.float32), [[0, 0], [1000, 1000], [0, 0]])


def test_unembed_equals_torch(agrees):
    torch = pytest.importorskip("torch")
    table = RNG.normal(size=(7, 5))
    agrees.torch("nn.unembed", nn.unembed, torch.nn.functional.linear, X, table)
    h, rows = jnp.asarray(X, jnp.bfloat16), jnp.asarray(table, jnp.bfloat16)
    slopes = jax.grad(lambda h, rows: jnp.sin(nn.unembed(h, rows)).sum(dtype=jnp.float32), (0, 1))(h, rows)
    wide = jax.grad(lambda h, rows: jnp.sin(h @ rows.T).sum(), (0, 1))(*map(jnp.float32, (h, rows)))
    agrees.values("nn.unembed, bfloat16", "float32", slopes, wide, most=3e-2)
    assert nn.unembed(h, rows).shape == (4, 2, 7)


def test_unembed_refuses_a_kernel():
    with pytest.raises(ShapeError, match=r"table .*\(vocab, dim\)"):
        nn.unembed(jnp.ones((2, 5)), jnp.ones((5, 7)))


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


def test_embedding_shows_wrong_tokens():
    layer = nn.embedding(5, 3)
    params, state = layer.init(KEY)
    y, _ = layer.apply(params, state, jnp.array([[4, 0], [-1, 5]]))
    assert jnp.isfinite(y[0]).all()
    assert jnp.isnan(y[1]).all()
    with pytest.raises(DtypeError, match="must be integers, got float32"):
        layer.apply(params, state, jnp.ones(3))


def test_parameter_is_a_trained_array(agrees):
    layer = nn.parameter(2, 3, value_init=nn.constant(1.5))
    params, state = layer.init(KEY)
    y, slopes = jax.value_and_grad(lambda params: jnp.sum(layer.apply(params, state)[0] ** 2))(params)
    agrees.values("nn.parameter", "closed form", (y, slopes["value"]), (13.5, np.full((2, 3), 3.0)))
    assert nn.wire(lambda x, scale: x * scale(), scale=nn.parameter(3)).init(KEY)[0]["scale"]["value"].shape == (3,)


def test_inputs_of_the_wrong_kind_get_a_hint():
    layer = nn.dense(784, 10)
    params, state = layer.init(KEY)
    with pytest.raises(DtypeError, match=r"must be floating point, got uint8\[2,784\]; cast it first"):
        layer.apply(params, state, jnp.zeros((2, 784), jnp.uint8))
    with pytest.raises(ShapeError, match=r"got \(2, 28, 28, 1\); put nn.flatten before this layer"):
        layer.apply(params, state, jnp.zeros((2, 28, 28, 1)))
