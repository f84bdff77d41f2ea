"""Initializers against their theory: moments over many draws, exact structure, and clear refusals."""

import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.nn.initializers import standard as init

KEY = jax.random.key(0)
DENSE, CONV = (300, 500), (3, 5, 40, 60)

RANDOM = [
    init.normal(), init.truncated_normal(), init.uniform(), init.variance_scaling(), init.lecun_normal(),
    init.lecun_uniform(), init.glorot_normal(), init.glorot_uniform(), init.he_normal(), init.he_uniform(),
    init.orthogonal(), init.sparse(),
]  # fmt: skip
ALL = [init.zeros(), init.ones(), init.constant(0.5), *RANDOM]


def assert_moments(agrees, initializer, x, std, kurtosis):
    """Mean 0 and this variance within five standard errors; kurtosis is the fourth moment over the variance squared."""
    x = np.asarray(x, np.float64)
    found, wanted = np.array([x.std(), np.mean(x**4) ** 0.25]), np.array([std, std * kurtosis**0.25])
    agrees.values(f"nn.{initializer.call.kind}", "moments of many draws", found, wanted, most=0.02)
    assert abs(x.mean()) < 5 * std / math.sqrt(x.size)
    assert abs(x.var() / std**2 - 1) < 5 * math.sqrt((kurtosis - 1) / x.size)
    assert abs(np.mean(x**4) / x.var() ** 2 - kurtosis) < 0.1


@pytest.mark.parametrize("initializer", ALL, ids=repr)
def test_is_a_pure_value(initializer):
    again = pickle.loads(pickle.dumps(initializer))
    assert again == initializer
    assert hash(again) == hash(initializer)
    x = initializer(KEY, (20, 6))
    assert (x.shape, x.dtype) == ((20, 6), jnp.float32)
    assert jax.eval_shape(lambda key: initializer(key, (20, 6)), KEY) == jax.ShapeDtypeStruct((20, 6), jnp.float32)


@pytest.mark.parametrize("initializer", [init.he_normal(), init.orthogonal(), init.sparse()], ids=repr)
def test_maps_over_keys(initializer):
    keys = jax.random.split(KEY, 2)
    stacked = jax.vmap(lambda key: initializer(key, (20, 6)))(keys)
    np.testing.assert_allclose(stacked[1], initializer(keys[1], (20, 6)), atol=1e-6)
    assert (stacked[0] != stacked[1]).any()


@pytest.mark.parametrize("initializer", RANDOM, ids=repr)
def test_low_precision_is_the_rounded_float32_draw(initializer):
    want = initializer(KEY, (20, 6)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(initializer(KEY, (20, 6), jnp.bfloat16), want)
    with jax.enable_x64(True):
        assert jax.eval_shape(lambda key: initializer(key, (20, 6), jnp.float64), KEY).dtype == jnp.float64


def test_prints_as_its_call():
    assert repr(init.he_normal()) == "he_normal()"
    assert repr(init.he_normal(slope=0.1)) == "he_normal(slope=0.1)"
    assert repr(init.truncated_normal(0.02, corrected=True)) == "truncated_normal(corrected=True)"
    assert init.normal(0.01) == init.normal()
    assert init.normal(0.02) != init.normal()


def test_constants(agrees):
    same = lambda name, got, want: agrees.values(f"nn.{name}", "closed form", got, np.asarray(want), most=1e-30)
    same("zeros", init.zeros()(None, (2, 3)), np.zeros((2, 3)))
    same("ones", init.ones()(None, (2,), jnp.int32), np.ones(2, np.int32))
    same("constant", init.constant(0.5)(None, ()), 0.5)
    same("constant", init.constant(np.array([1.0, 2.0]))(None, (3, 2)), [[1, 2]] * 3)


def test_fans():
    assert init.fans((3, 4)) == (3, 4)
    assert init.fans((5, 5, 3, 64)) == (75, 1600)
    for shape in ((), (7,)):
        with pytest.raises(ShapeError, match="has no fan"):
            init.he_normal()(KEY, shape)


TRUNCATED_KURTOSIS = 2.3656  # by numerical integration, below


def test_truncated_normal_constants():
    x = np.linspace(-2, 2, 400_001)
    density = np.exp(-(x**2) / 2)
    variance = np.average(x**2, weights=density)
    assert math.isclose(math.sqrt(variance), init.TRUNCATED_STD, rel_tol=1e-5)
    assert math.isclose(np.average(x**4, weights=density) / variance**2, TRUNCATED_KURTOSIS, rel_tol=1e-3)


@pytest.mark.parametrize(
    ("initializer", "std", "kurtosis"),
    [
        (init.normal(0.3), 0.3, 3),
        (init.uniform(-0.2, 0.2), 0.2 / math.sqrt(3), 1.8),
        (init.truncated_normal(0.3), 0.3 * init.TRUNCATED_STD, TRUNCATED_KURTOSIS),
        (init.truncated_normal(0.3, corrected=True), 0.3, TRUNCATED_KURTOSIS),
    ],
    ids=repr,
)
def test_moments_of_plain_distributions(initializer, std, kurtosis, agrees):
    assert_moments(agrees, initializer, initializer(KEY, DENSE), std, kurtosis)


def test_limits_of_plain_distributions():
    assert 0.59 < jnp.abs(init.truncated_normal(0.3)(KEY, DENSE)).max() <= 0.6
    x = init.uniform(1.0, 3.0)(KEY, DENSE)
    assert 1 <= x.min() < 1.001
    assert 2.999 < x.max() <= 3


@pytest.mark.parametrize("shape", [DENSE, CONV], ids=["dense", "conv"])
@pytest.mark.parametrize(
    ("initializer", "variance", "kurtosis"),
    [
        (init.lecun_normal(), lambda i, o: 1 / i, 3),
        (init.lecun_uniform(), lambda i, o: 1 / i, 1.8),
        (init.glorot_normal(), lambda i, o: 2 / (i + o), 3),
        (init.glorot_uniform(), lambda i, o: 2 / (i + o), 1.8),
        (init.he_normal(), lambda i, o: 2 / i, 3),
        (init.he_uniform(), lambda i, o: 2 / i, 1.8),
        (init.he_normal(slope=0.5), lambda i, o: 2 / 1.25 / i, 3),
        (init.he_uniform(slope=0.5), lambda i, o: 2 / 1.25 / i, 1.8),
        (init.variance_scaling(3.0, "fan_out", "truncated_normal"), lambda i, o: 3 / o, TRUNCATED_KURTOSIS),
    ],
    ids=lambda value: repr(value) if isinstance(value, init.Initializer) else None,
)
def test_moments_of_scaled_distributions(initializer, variance, kurtosis, shape, agrees):
    window = math.prod(shape[:-2])
    std = math.sqrt(variance(window * shape[-2], window * shape[-1]))
    assert_moments(agrees, initializer, initializer(KEY, shape), std, kurtosis)


def test_uniform_limits_equal_torch():
    torch = pytest.importorskip("torch")
    kernel = torch.zeros(600, 400)  # torch keeps (out, in)
    torch.manual_seed(0)
    for ours, theirs in (
        (init.glorot_uniform(), torch.nn.init.xavier_uniform_),
        (init.he_uniform(0.2), lambda w: torch.nn.init.kaiming_uniform_(w, a=0.2)),
    ):
        want = theirs(kernel).abs().max().item()
        assert math.isclose(jnp.abs(ours(KEY, (400, 600))).max(), want, rel_tol=1e-3)


@pytest.mark.parametrize("shape", [(64, 64), (30, 80), (3, 3, 4, 20)])
def test_orthogonal_is_orthonormal(shape, agrees):
    w = np.asarray(init.orthogonal(gain=2.0)(KEY, shape)).reshape(-1, shape[-1]) / 2
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    agrees.values("nn.orthogonal", "orthonormality", gram, np.eye(len(gram)), most=1e-6)


def test_orthogonal_is_even_over_all_orthogonal_matrices():
    keys = jax.random.split(KEY, 4000)
    w = jax.jit(jax.vmap(lambda key: init.orthogonal()(key, (3, 3))))(keys)
    # Entries of an even draw have mean 0 and variance 1/3; without the sign correction their diagonal has not.
    assert jnp.abs(w.mean(0)).max() < 5 / math.sqrt(3 * 4000)
    np.testing.assert_allclose(w.var(0), 1 / 3, atol=0.03)
    assert abs(jnp.mean(jnp.linalg.det(w) > 0) - 0.5) < 5 * 0.5 / math.sqrt(4000)


@pytest.mark.parametrize("shape", [(15, 8), (3, 3, 4, 20)])
def test_sparse_has_exactly_so_many_incoming_weights(shape):
    w = np.asarray(init.sparse()(KEY, shape)).reshape(-1, shape[-1])
    np.testing.assert_array_equal((w != 0).sum(0), 15)


def test_sparse_chooses_evenly_and_draws_normal_weights(agrees):
    w = np.asarray(init.sparse(5, std=2.0)(KEY, (20, 10_000)))
    assert abs((w != 0).mean(1) - 0.25).max() < 5 * math.sqrt(0.25 * 0.75 / 10_000)
    assert_moments(agrees, init.sparse(), w[w != 0], 2.0, 3)
    assert len({tuple(np.flatnonzero(column)) for column in w.T[:50]}) > 40


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: init.normal(-1.0), "std must be finite and not negative, got -1.0"),
        (lambda: init.normal(math.nan), "std must be finite"),
        (lambda: init.truncated_normal(-0.1), "std must be finite and not negative"),
        (lambda: init.uniform(1.0, 1.0), "low must be below high"),
        (lambda: init.uniform(0.1, -0.1), "low must be below high"),
        (lambda: init.variance_scaling(-1.0), "scale must be finite and not negative"),
        (lambda: init.variance_scaling(1.0, "fan"), "mode must be one of 'fan_in'"),
        (lambda: init.variance_scaling(1.0, "fan_in", "gauss"), "distribution must be one of 'normal'"),
        (lambda: init.orthogonal(math.inf), "gain must be finite"),
        (lambda: init.sparse(0), "incoming must be a whole number"),
        (lambda: init.sparse(1.5), "incoming must be a whole number"),
        (lambda: init.sparse(15, -1.0), "std must be finite"),
    ],
)
def test_bad_arguments_fail_at_construction(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_shapes_keys_and_types_fail_when_drawn():
    with pytest.raises(ShapeError, match="incoming is 15, but a unit of a kernel of shape \\(4, 9\\) has 4 inputs"):
        init.sparse()(KEY, (4, 9))
    with pytest.raises(ShapeError, match="has no fan"):
        init.orthogonal()(KEY, (9,))
    with pytest.raises(DtypeError, match="typed random key"):
        init.normal()(0, (2, 2))
    with pytest.raises(DtypeError, match="dtype must be floating point"):
        init.normal()(KEY, (2, 2), jnp.int32)
