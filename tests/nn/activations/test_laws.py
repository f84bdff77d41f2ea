"""Laws that every activation keeps, and its values and gradients against torch.  A new one is a line in the table."""

import pickle
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import nn
from fdl.nn import activations

X = np.random.default_rng(0).normal(0, 3, (5, 8))
CORNERS = np.array([-3.0, -1.0, -0.5, 0.0, 0.3, 0.5, 1.0, 3.0, 6.0])


def sparsemax(torch, x):
    """By bisection on what to subtract: another way than sorting."""
    low, high = x.amin(-1, keepdim=True) - 1, x.amax(-1, keepdim=True)
    for _ in range(100):
        middle = (low + high) / 2
        much = torch.relu(x - middle).sum(-1, keepdim=True) > 1
        low, high = torch.where(much, middle, low), torch.where(much, high, middle)
    support = (x > high).to(x.dtype)
    cut = ((x * support).sum(-1, keepdim=True) - 1) / support.sum(-1, keepdim=True)
    return support * (x - cut)


# What it is with its constants, and the same in torch: a name in torch.nn.functional, or a function of (torch, x).
TABLE = {
    "identity": (nn.identity, lambda torch, x: 1 * x),
    "sigmoid": (nn.sigmoid, lambda torch, x: torch.sigmoid(x)),
    "log_sigmoid": (nn.log_sigmoid, "logsigmoid"),
    "tanh": (nn.tanh, lambda torch, x: torch.tanh(x)),
    "relu": (nn.relu, "relu"),
    "leaky_relu": (nn.leaky_relu, "leaky_relu"),
    "lecture_leaky_relu": (nn.lecture_leaky_relu, lambda torch, x: torch.nn.functional.leaky_relu(x, 0.1)),
    "elu": (nn.elu, "elu"),
    "gelu": (nn.gelu, lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh")),
    "gelu, exact": (partial(nn.gelu, approximate=False), "gelu"),
    "silu": (nn.silu, "silu"),
    "softplus": (nn.softplus, "softplus"),
    "softmax": (nn.softmax, lambda torch, x: torch.softmax(x, -1)),
    "softmax, first axis": (partial(nn.softmax, axis=0), lambda torch, x: torch.softmax(x, 0)),
    "log_softmax": (nn.log_softmax, lambda torch, x: torch.log_softmax(x, -1)),
    "softmin": (nn.softmin, lambda torch, x: torch.nn.functional.softmin(x, -1)),
    "sparsemax": (nn.sparsemax, sparsemax),
    "unit": (nn.unit, lambda torch, x: torch.nn.functional.normalize(x, dim=-1)),
    "unit, first axis": (partial(nn.unit, axis=0), lambda torch, x: torch.nn.functional.normalize(x, dim=0)),
    "selu": (nn.selu, "selu"),
    "celu": (partial(nn.celu, alpha=0.5), lambda torch, x: torch.nn.functional.celu(x, 0.5)),
    "lecun_tanh": (nn.lecun_tanh, lambda torch, x: 1.7159 * torch.tanh(2 * x / 3)),
    "soft_sign": (nn.soft_sign, "softsign"),
    "mish": (nn.mish, "mish"),
    "squareplus": (nn.squareplus, lambda torch, x: (x + torch.sqrt(x**2 + 4)) / 2),
    "tanh_shrink": (nn.tanh_shrink, "tanhshrink"),
    "softcap": (partial(nn.softcap, cap=3.0), lambda torch, x: 3 * torch.tanh(x / 3)),
    "relu6": (nn.relu6, "relu6"),
    "hard_tanh": (nn.hard_tanh, "hardtanh"),
    "hard_sigmoid": (nn.hard_sigmoid, "hardsigmoid"),
    "hard_silu": (nn.hard_silu, "hardswish"),
    "hard_shrink": (nn.hard_shrink, "hardshrink"),
    "soft_shrink": (nn.soft_shrink, "softshrink"),
    "threshold": (
        partial(nn.threshold, cut=0.3, value=-2.0),
        lambda torch, x: torch.nn.functional.threshold(x, 0.3, -2.0),
    ),
}
LOOSE = {"hard_sigmoid": 1e-7}  # torch holds 1 / 6 in float32
PIECES = [
    *("relu", "leaky_relu", "relu6", "hard_tanh", "hard_sigmoid", "hard_shrink", "soft_shrink", "threshold", "celu"),
    "soft_sign",
]
APART = {"log1mexp", "glu", "prelu"}  # for positive input, half as wide, a layer: in the tests of their files

every = pytest.mark.parametrize("f", [f for f, _ in TABLE.values()], ids=TABLE)


def theirs(name):
    torch = pytest.importorskip("torch")
    oracle = TABLE[name][1]
    return getattr(torch.nn.functional, oracle) if isinstance(oracle, str) else partial(oracle, torch)


def test_every_activation_stands_in_the_table():
    assert {name.split(",")[0] for name in TABLE} | APART == set(activations.__all__)


@pytest.mark.parametrize("name", TABLE)
def test_values_and_gradients_are_those_of_torch(name, agrees):
    agrees.torch(f"nn.{name}", TABLE[name][0], theirs(name), X, most=LOOSE.get(name))


@pytest.mark.parametrize("name", PIECES)
def test_derivatives_where_pieces_meet_are_those_of_torch(name, agrees):
    agrees.torch(f"nn.{name}, corners", TABLE[name][0], theirs(name), CORNERS, most=LOOSE.get(name))


@every
def test_pickles_and_keeps_shape_and_dtype_under_transforms(f):
    f = pickle.loads(pickle.dumps(f))
    x = jnp.linspace(-3, 3, 12).reshape(3, 4) + 0.013  # off the jumps of hard_shrink and threshold
    if getattr(f, "keywords", {}).get("axis") != 0:
        np.testing.assert_allclose(jax.jit(jax.vmap(f))(x), f(x), rtol=1e-6, atol=1e-6)
    for dtype in ("bfloat16", "float16"):
        y = jax.jit(f)(x.astype(dtype))
        assert (y.shape, y.dtype) == (x.shape, dtype)
        np.testing.assert_allclose(y.astype(jnp.float32), f(x), rtol=2e-2, atol=2e-2)


@every
def test_values_and_two_derivatives_are_finite_at_extremes(f):
    x = jnp.array([-1e4, -100.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 3.0, 6.0, 100.0, 1e4])
    gradient = jax.grad(lambda x: f(x).sum())
    both = jax.jit(lambda x: (f(x), *jax.jvp(gradient, (x,), (jnp.ones_like(x),))))
    assert all(np.isfinite(y).all() for y in both(x))


@every
def test_nan_stays_visible(f):
    assert jnp.isnan(f(jnp.array([jnp.nan, 1.0]))[0])
