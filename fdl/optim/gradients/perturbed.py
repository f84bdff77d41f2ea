"""Gradients of functions that have none: the mean over noisy inputs is smooth.  https://arxiv.org/abs/2002.08676"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

from fdl.optim.transform import require_constant

Noise: TypeAlias = Literal["gumbel", "normal"]


def perturbed(
    function: Callable[[jax.Array], Any], *, samples: int = 1000, sigma: float = 0.1, noise: Noise = "gumbel"
) -> Callable[[jax.Array, jax.Array], Any]:
    """(x, key) -> the mean of function(x + sigma z) over so many z, and the gradient of what that mean estimates.

    function maps an array to a tree of arrays; it may jump, as one_hot(argmax(x)) does, whose mean over Gumbel noise
    of sigma 1 is softmax(x).  The derivative along v is the mean of function(x + sigma z) <z', v> / sigma, with the
    score z' = z for normal and 1 - exp(-z) for Gumbel noise; the mean of the values is taken off first, which changes
    nothing in the mean and much in the variance.
    """
    require_constant("samples", samples, 2)
    require_constant("sigma", sigma, 1e-37)
    if noise not in ("gumbel", "normal"):
        raise ValueError(f"noise must be 'gumbel' or 'normal', got {noise!r}")
    gumbel = noise == "gumbel"
    draw = jax.random.gumbel if gumbel else jax.random.normal
    score = (lambda z: 1 - jnp.exp(-z)) if gumbel else (lambda z: z)

    def values(x, z):
        return jax.tree.map(lambda y: y.astype(x.dtype), jax.vmap(lambda own: function(x + sigma * own))(z))

    @jax.custom_jvp
    def mean(x, z):
        return jax.tree.map(lambda y: jnp.mean(y, 0), values(x, z))

    @mean.defjvp
    def along(primals, tangents):
        (x, z), (v, _) = primals, tangents
        seen = values(x, z)
        weight = jnp.tensordot(score(z), v, v.ndim) / (sigma * (samples - 1))
        middle = jax.tree.map(lambda y: jnp.mean(y, 0), seen)
        return middle, jax.tree.map(lambda y, m: jnp.tensordot(weight, y - m[None], 1), seen, middle)

    return lambda x, key: mean(x, draw(key, (samples, *x.shape), x.dtype))
