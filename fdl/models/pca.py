"""Principal components: the best linear code of squared error, and of pixels that are probabilities.

Both are the mean or bias plus `dim` numbers an example times as many components; logistic PCA puts a sigmoid behind.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.losses import binary_cross_entropy
from fdl.nn import sigmoid

RIDGE = 1e-4  # keeps the least squares of a code solvable where all its pixels are certain


class PCA(NamedTuple):
    """mean (features,), orthonormal components (dim, features) and the variance along each (dim,), largest first."""

    mean: jax.Array
    components: jax.Array
    variance: jax.Array

    def encode(self, x: jax.Array) -> jax.Array:
        """(n, features) -> code (n, dim)"""
        require_shape(x, None, len(self.mean))
        return (x - self.mean[None]) @ self.components.T

    def decode(self, code: jax.Array) -> jax.Array:
        """code (n, dim) -> (n, features)"""
        require_shape(code, None, len(self.components), name="code")
        return code @ self.components + self.mean[None]


def fit_pca(x: jax.Array, dim: int) -> PCA:
    """The `dim` orthogonal directions of largest variance.  (n, features) -> PCA;  Pearson 1901, Hotelling 1933

    Raises ValueError unless dim is from 1 to the number of features.
    """
    _require_dim(x, dim)
    mean = x.mean(0)
    centred = x - mean[None]
    covariance = jnp.matmul(centred.T, centred, precision="highest") / len(x)
    variance, vectors = jnp.linalg.eigh(covariance)
    return PCA(mean, vectors[:, ::-1][:, :dim].T, variance[::-1][:dim])


class LogisticPCA(NamedTuple):
    """bias (features,) and components (dim, features): the logits of an example are bias + code · components."""

    bias: jax.Array
    components: jax.Array

    def encode(self, x: jax.Array, steps: int = 50) -> jax.Array:
        """The code of least cross-entropy, after so many steps that each lower it.  (n, features) -> (n, dim)"""
        require_shape(x, None, len(self.bias))
        offset = jnp.broadcast_to(self.bias, x.shape)
        code = jnp.zeros((len(x), len(self.components)), x.dtype)
        return jax.lax.fori_loop(0, steps, lambda i, code: _step(x, code, self.components, offset), code)

    def decode(self, code: jax.Array) -> jax.Array:
        """code (n, dim) -> probabilities (n, features)"""
        require_shape(code, None, len(self.components), name="code")
        return sigmoid(code @ self.components + self.bias[None])


def fit_logistic_pca(x: jax.Array, dim: int, steps: int) -> tuple[LogisticPCA, jax.Array]:
    """Codes and components in turn, each the minimum of a bound on the cross-entropy, starting from those of PCA.

    x holds probabilities.  (n, features) -> LogisticPCA, mean cross-entropy of an example before each step (steps,)
    Schein, Saul & Ungar 2003, https://proceedings.mlr.press/r4/schein03a.html
    """
    linear = fit_pca(x, dim)
    ones = jnp.ones((len(x), 1), x.dtype)
    rows = jnp.concatenate([4 * linear.components, jnp.log(_inside(linear.mean) / (1 - _inside(linear.mean)))[None]])

    def turn(carried, _):
        code, rows = carried
        loss = binary_cross_entropy(code @ rows[:-1] + rows[-1:], x).sum(-1).mean()
        code = _step(x, code, rows[:-1], jnp.broadcast_to(rows[-1], x.shape))
        known = jnp.concatenate([code, ones], -1)
        return (code, _step(x.T, rows.T, known.T, jnp.zeros_like(x.T)).T), loss

    (_, rows), losses = jax.lax.scan(turn, (linear.encode(x), rows), length=steps)
    return LogisticPCA(rows[-1], rows[:-1]), losses


def _step(x: jax.Array, code: jax.Array, components: jax.Array, offset: jax.Array, batch: int = 500) -> jax.Array:
    """The codes that minimise the quadratic bound of log cosh, tangent at the present logits.

    log(2 cosh(z / 2)) lies below a parabola in z of curvature tanh(z / 2) / 2z that touches it at ±z, so each code is
    one weighted least squares.  (n, features), (n, dim), (dim, features), (n, features) -> (n, dim)
    """
    dim = len(components)
    ridge = RIDGE * jnp.eye(dim, dtype=x.dtype)
    # All products of two components at once: every example's matrix is then a row of one large product.
    squares = (components[:, None] * components[None]).reshape(dim * dim, -1).T

    def of_one(given):
        x, code, offset = given
        weight = _curvature(code @ components + offset)
        matrix = (weight @ squares).reshape(dim, dim) + ridge
        return _solve(matrix, components @ (x - 0.5 - weight * offset))

    return jax.lax.map(of_one, (x, code, offset), batch_size=min(batch, len(x)))


def _solve(matrix: jax.Array, b: jax.Array) -> jax.Array:
    """matrix⁻¹ b for a positive matrix, by Gauss and Jordan.  (n, n), (n,) -> (n,)

    LAPACK in a loop over batches can stop for ever where XLA has two threads (seen with jax 0.10.2 on a CPU).
    """

    def clear(i, rows):
        pivot = rows[i] / rows[i, i]
        return (rows - rows[:, i, None] * pivot[None]).at[i].set(pivot)

    return jax.lax.fori_loop(0, len(b), clear, jnp.concatenate([matrix, b[:, None]], 1))[:, -1]


def _curvature(z: jax.Array) -> jax.Array:
    """tanh(z / 2) / 2z, which is 1/4 at 0."""
    near = jnp.abs(z) < 1e-3
    safe = jnp.where(near, 1, z)
    return jnp.where(near, 0.25, jnp.tanh(safe / 2) / (2 * safe))


def _inside(p: jax.Array) -> jax.Array:
    return jnp.clip(p, 1e-3, 1 - 1e-3)


def _require_dim(x: jax.Array, dim: int) -> None:
    require_shape(x, None, None)
    if not 1 <= dim <= x.shape[1]:
        raise ValueError(f"dim must be from 1 to the {x.shape[1]} features, got {dim}")
