"""How alike two representations of the same examples are."""

import jax
import jax.numpy as jnp

from fdl.checks import require_float, require_shape


def cka(x: jax.Array, y: jax.Array) -> jax.Array:
    """Centred kernel alignment, linear: |yᵀx|² / (|xᵀx| |yᵀy|) of centred features.  (n, p), (n, q) -> ()

    From 0 to 1; 1 where one is the other turned, mirrored or scaled.  NaN if either does not vary.  Computed from the
    smaller of features and examples.  Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, equation 5
    """
    for name, array in (("x", x), ("y", y)):
        require_float(array, name)
        require_shape(array, jnp.shape(x)[0], None, name=name, hint="flatten features to one row an example")
    x, y = (array - array.mean(0, keepdims=True) for array in (x, y))
    if max(x.shape[1], y.shape[1]) > len(x):
        first, second = _product(x, x.T), _product(y, y.T)
        return jnp.sum(first * second) / (jnp.linalg.norm(first) * jnp.linalg.norm(second))
    between = jnp.sum(jnp.square(_product(y.T, x)))
    return between / (jnp.linalg.norm(_product(x.T, x)) * jnp.linalg.norm(_product(y.T, y)))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")
