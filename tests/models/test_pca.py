"""Principal components against scikit-learn, logistic ones against a minimiser of SciPy's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fdl import models
from fdl.checks import ShapeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 6)) @ RNG.standard_normal((6, 6)) + 2.0


def test_pca_is_that_of_scikit_learn(agrees):
    decomposition = pytest.importorskip("sklearn.decomposition")
    theirs = decomposition.PCA(3, svd_solver="full").fit(X)
    with jax.enable_x64(True):
        ours = models.fit_pca(jnp.asarray(X), 3)
        again = ours.decode(ours.encode(jnp.asarray(X)))
    source = "sklearn.decomposition.PCA"
    agrees.values("models.fit_pca", source, again, theirs.inverse_transform(theirs.transform(X)))
    agrees.values("models.fit_pca", source, np.asarray(ours.variance) * 50 / 49, theirs.explained_variance_)
    agrees.values("models.fit_pca", source, np.abs(ours.components), np.abs(theirs.components_))


@pytest.mark.parametrize("dim", [0, 7])
def test_there_are_no_more_components_than_features(dim):
    with pytest.raises(ValueError, match="dim must be from 1 to the 6 features"):
        models.fit_pca(jnp.asarray(X, "float32"), dim)


def test_a_code_of_another_width_is_refused():
    pca = models.fit_pca(jnp.asarray(X, "float32"), 2)
    with pytest.raises(ShapeError, match="code must have shape"):
        pca.decode(jnp.zeros((4, 3)))


def cross_entropy(logits, x):
    return (np.logaddexp(0, logits) - x * logits).sum(-1)


def test_logistic_pca_descends_and_its_codes_are_the_best_ones(agrees):
    optimize = pytest.importorskip("scipy.optimize")
    planted = RNG.standard_normal((60, 2)) @ (2 * RNG.standard_normal((2, 12)))
    x = (RNG.random((60, 12)) < 1 / (1 + np.exp(-planted))) * 0.9 + 0.05
    with jax.enable_x64(True):
        found, losses = jax.jit(lambda x: models.fit_logistic_pca(x, 2, 40))(jnp.asarray(x))
        code = np.asarray(found.encode(jnp.asarray(x[:5]), 300))
        again = np.asarray(found.decode(jnp.asarray(code)))
    losses = np.asarray(losses)
    assert (np.diff(losses) < 1e-6).all()
    assert losses[-1] < losses[1] < losses[0]
    bias, components = (np.asarray(part) for part in found)
    for i in range(5):
        value = lambda u: cross_entropy(u @ components + bias, x[i])  # noqa: B023  used at once
        best = optimize.minimize(value, np.zeros(2), tol=1e-12)
        agrees.values("models.LogisticPCA", "scipy.optimize.minimize", value(code[i]), best.fun, most=1e-6)
    np.testing.assert_allclose(again, 1 / (1 + np.exp(-(code @ components + bias))), rtol=1e-9)
