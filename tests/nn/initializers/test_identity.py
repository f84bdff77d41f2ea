"""Initializers that start as the identity or a rotation: what they do to an input, and torch's kernels and gains."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.checks import ShapeError

KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("init", "shape"),
    [(nn.eye(2.0), (4, 5)), (nn.dirac(2), (3, 2, 4)), (nn.delta_orthogonal(), (3, 2, 4))],
    ids=repr,
)
def test_is_a_pure_value(init, shape):
    again = pickle.loads(pickle.dumps(init))
    assert again == init
    assert hash(again) == hash(init)
    for dtype in ("float32", "bfloat16"):
        assert jax.eval_shape(lambda dtype=dtype: again(KEY, shape, dtype)) == jax.ShapeDtypeStruct(shape, dtype)
    np.testing.assert_array_equal(init(KEY, shape, jnp.bfloat16), init(KEY, shape).astype(jnp.bfloat16))


def test_eye_starts_a_dense_layer_as_the_identity(agrees):
    layer = nn.dense(4, 4, kernel_init=nn.eye())
    x = jax.random.normal(KEY, (3, 4))
    np.testing.assert_array_equal(layer.apply(*layer.init(KEY), x)[0], x)
    agrees.values("nn.eye", "closed form", nn.eye(3.0)(KEY, (2, 3)), np.array([[3, 0, 0], [0, 3, 0]]), most=1e-30)


@pytest.mark.parametrize(("window", "groups"), [((3, 3), 1), ((2, 4), 1), ((5,), 2), ((3, 2, 2), 6)])
def test_dirac_starts_a_convolution_as_the_identity(window, groups):
    layer = nn.conv(6, 6, window, groups=groups, kernel_init=nn.dirac(groups))
    x = jax.random.normal(KEY, (2, *(5,) * len(window), 6))
    np.testing.assert_allclose(layer.apply(*layer.init(KEY), x)[0], x, rtol=1e-6)


@pytest.mark.parametrize(("in_dim", "out_dim", "groups"), [(4, 4, 1), (3, 5, 1), (5, 3, 1), (2, 6, 2), (1, 6, 3)])
def test_dirac_equals_torch(in_dim, out_dim, groups, agrees):
    torch = pytest.importorskip("torch")
    theirs = torch.nn.init.dirac_(torch.empty(out_dim, in_dim, 3, 5), groups).numpy().transpose(2, 3, 1, 0)
    agrees.values("nn.dirac", "torch", nn.dirac(groups)(KEY, (3, 5, in_dim, out_dim)), theirs, most=1e-30)


@pytest.mark.parametrize("window", [(3, 3), (4,)])
def test_delta_orthogonal_keeps_lengths(window, agrees):
    layer = nn.conv(4, 6, window, kernel_init=nn.delta_orthogonal(2.0))
    x = jax.random.normal(KEY, (2, *(7,) * len(window), 4))
    y, _ = layer.apply(*layer.init(KEY), x)
    lengths = lambda x: np.linalg.norm(np.asarray(x), axis=-1)
    agrees.values("nn.delta_orthogonal", "lengths kept", lengths(y), 2 * lengths(x))


def test_gains_are_those_of_torch(agrees):
    torch = pytest.importorskip("torch")
    asked = [(name,) for name in ("linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu")] + [("leaky_relu", 0.2)]
    found = np.array([nn.gain(*call) for call in asked])
    agrees.values("nn.gain", "torch", found, np.array([torch.nn.init.calculate_gain(*call) for call in asked]))
    with pytest.raises(ValueError, match=r"must be one of 'linear'.* got 'gelu'"):
        nn.gain("gelu")


@pytest.mark.parametrize(
    ("init", "shape", "message"),
    [
        (nn.eye(), (3, 4, 4), r"for a convolution use dirac\(\)"),
        (nn.dirac(), (4, 4), r"for a dense one use eye\(\)"),
        (nn.delta_orthogonal(), (4, 4), r"for a dense one use eye\(\)"),
        (nn.dirac(3), (3, 2, 4), "groups must divide the outputs"),
        (nn.delta_orthogonal(), (3, 5, 4), "as many outputs as inputs"),
    ],
)
def test_impossible_shapes_are_refused(init, shape, message):
    with pytest.raises(ShapeError, match=message):
        init(KEY, shape)
