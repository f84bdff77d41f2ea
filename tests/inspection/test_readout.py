"""Read-outs against SciPy and scikit-learn; separability against linear programs, and by its own proofs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.data import LabelError
from fdl.inspection import cka, linear_probe, linear_readout, nearest_neighbours, separate
from fdl.inspection.readout.separability import nonnegative_least_squares


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def clouds(n=90, dim=5, classes=3):
    """Overlapping clouds, so that no class is separable."""
    label = np.arange(n) % classes
    return normal(0, n, dim) + 0.7 * normal(1, classes, dim)[label], label.astype(np.int32)


def centred(logits):
    """What softmax sees: the bias is free up to a constant."""
    return logits - logits.mean(-1, keepdims=True)


def test_a_probe_is_the_optimum_that_scipy_finds(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    special = pytest.importorskip("scipy.special")
    x, label = clouds()
    one_hot, penalty = np.eye(3)[label], 1e-2

    def objective(flat):
        kernel, bias = flat[:15].reshape(5, 3), flat[15:]
        logits = x @ kernel + bias
        slope = (special.softmax(logits, -1) - one_hot) / len(x)
        value = -(special.log_softmax(logits, -1) * one_hot).sum() / len(x) + penalty / 2 * (kernel**2).sum()
        return value, np.concatenate([(x.T @ slope + penalty * kernel).ravel(), slope.sum(0)])

    found = optimize.minimize(objective, np.zeros(18), jac=True, method="BFGS", options={"gtol": 1e-10})
    want = centred(x @ found.x[:15].reshape(5, 3) + found.x[15:])
    with jax.enable_x64(True):
        probe = linear_probe(jnp.asarray(x), label, 3, penalty=penalty, tolerance=1e-10)
        assert float(probe.gradient) <= 1e-10
        agrees.values("inspection.linear_probe", "scipy.optimize", centred(probe(jnp.asarray(x))), want, most=1e-7)


@pytest.mark.parametrize("dim", [6, 40], ids=["more examples", "more features"])
def test_a_linear_readout_is_the_ridge_of_scikit_learn(agrees, dim):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = normal(0, 25, dim) + 3, normal(1, 25, 2)
    want = linear_model.Ridge(alpha=25 * 0.1, solver="cholesky").fit(x, y)
    with jax.enable_x64(True):
        found = linear_readout(jnp.asarray(x), jnp.asarray(y), penalty=0.1)
        agrees.values(
            "inspection.linear_readout", "sklearn Ridge", (found.kernel, found.bias), (want.coef_.T, want.intercept_)
        )
        assert float(found.gradient) < 1e-12


def test_a_probe_reads_features_and_cannot_memorise_shuffled_labels():
    label = np.arange(2000) % 10
    x = jnp.asarray(normal(1, 2000, 20) + 2 * normal(2, 10, 20)[label], jnp.float32)

    def error(labels):
        return np.mean(np.argmax(linear_probe(x, labels, 10)(x), -1) != labels)

    assert error(label) < 0.1
    assert 0.84 < error(np.random.default_rng(0).permutation(label)) < 0.9  # 220 numbers remember a few of 2,000


def test_neighbours_vote_as_in_scikit_learn(agrees):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (x, label), queries = clouds(), normal(3, 13, 5)
    want = neighbors.KNeighborsClassifier(5).fit(x, label).predict_proba(queries) * 5
    with jax.enable_x64(True):
        votes = nearest_neighbours(jnp.asarray(x), label, jnp.asarray(queries), k=5, classes=3, batch=4)
        agrees.values("inspection.nearest_neighbours", "sklearn KNeighborsClassifier", votes, want)


def test_what_is_no_problem_for_a_readout_is_refused():
    x, label = jnp.ones((4, 2)), np.array([0, 1, 2, 3])
    with pytest.raises(LabelError, match="0 to 2, got 3"):
        linear_probe(x, label, 3)
    with pytest.raises(ShapeError, match="flatten features"):
        linear_probe(x[None], label, 4)
    with pytest.raises(DtypeError, match="x must be floating point"):
        linear_probe(np.ones((4, 2), int), label, 4)
    with pytest.raises(ValueError, match="penalty must be above 0"):
        linear_readout(x, x, penalty=0.0)
    with pytest.raises(ValueError, match="k must be at most the number of examples, 4, got 5"):
        nearest_neighbours(x, label, x, k=5, classes=4)
    with pytest.raises(TypeError, match="labels == 3"):
        separate(x, label)


def proven(x, label):
    """The answer of separate, after its proof was checked."""
    found = separate(x, label)
    if found.separable:
        assert ((x @ found.kernel + found.bias > 0) == label).all()
    else:
        signed = np.where(label, 1, -1)[:, None] * np.column_stack([x, np.ones(len(x))])
        assert (found.weights >= 0).all()
        np.testing.assert_allclose(found.weights.sum(), 1)
        np.testing.assert_allclose(found.weights @ signed, 0, atol=1e-8)
    return found.separable


def test_of_the_functions_of_three_bits_104_are_linearly_separable():
    corners = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    functions = itertools.product([False, True], repeat=8)
    assert sum(proven(corners, np.array(values)) for values in functions) == 104


def test_separability_is_what_a_linear_program_says():
    optimize = pytest.importorskip("scipy.optimize")
    answers = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        dim = int(rng.integers(1, 5))
        n = int(rng.integers(2, 3 * dim + 4))
        x, label = rng.normal(size=(n, dim)) * 10.0 ** rng.integers(-3, 4, dim) + 5, rng.random(n) < 0.5
        rows = -np.where(label, 1, -1)[:, None] * np.column_stack([x, np.ones(n)])
        program = optimize.linprog(np.zeros(dim + 1), A_ub=rows, b_ub=-np.ones(n), bounds=(None, None))
        answers.append(proven(x, label))
        assert answers[-1] == (program.status == 0)
    assert 10 < sum(answers) < 50


def test_least_squares_without_negative_weights_are_those_of_scipy(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    a, b = normal(0, 12, 8), normal(1, 12)
    agrees.values("inspection.separate", "scipy nnls", nonnegative_least_squares(a, b), optimize.nnls(a, b)[0])


@pytest.mark.parametrize("sizes", [(30, 4, 6), (10, 25, 3)], ids=["more examples", "more features"])
def test_alignment_is_that_of_centred_kernels(agrees, sizes):
    n, p, q = sizes
    x, y = normal(0, n, p) + 2, normal(1, n, q)
    centre = np.eye(n) - 1 / n
    grams = [centre @ z @ z.T @ centre for z in (x, y)]
    hsic = lambda a, b: np.trace(a @ b)
    want = hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))
    with jax.enable_x64(True):
        x, y = jnp.asarray(x), jnp.asarray(y)
        turn = jnp.linalg.qr(normal(2, p, p))[0]
        agrees.values("inspection.cka", "HSIC of kernels, NumPy", (cka(x, y), cka(y, -3 * x @ turn + 1)), (want, want))
        agrees.values("inspection.cka", "HSIC of kernels, NumPy", cka(x, x @ turn), 1.0)
