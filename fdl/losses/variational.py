"""Objectives of models with hidden variables: bounds on -log p(x), to be made small."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from fdl.checks import require_float, require_mask, require_shape
from fdl.losses.inputs import keep_only, masked, promote, require_pair


def gaussian_kl(mean: ArrayLike, log_var: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """KL(N(mean, exp(log_var)) ‖ N(0, 1)) = ½ Σ (mean² + exp(log_var) - 1 - log_var) over the last axis, in nats.

    (..., dim), (..., dim) -> (...)

    https://arxiv.org/abs/1312.6114, appendix B
    """
    require_pair(mean, log_var, "mean")
    require_shape(mean, ..., None, name="mean")
    keep = require_mask(where, jnp.shape(mean)[:-1])
    mean, log_var = keep_only(keep, *promote(mean, log_var))
    return jnp.sum(jnp.square(mean) + (jnp.expm1(log_var) - log_var), axis=-1) / 2


def negative_elbo(
    reconstruction: ArrayLike,
    mean: ArrayLike,
    log_var: ArrayLike,
    *,
    beta: float = 1.0,
    where: ArrayLike | None = None,
) -> jax.Array:
    """reconstruction + beta gaussian_kl(mean, log_var): the loss of a variational autoencoder, in nats.

    (...), (..., dim), (..., dim) -> (...)

    reconstruction is -log p(x | z) of each example for one z drawn from N(mean, exp(log_var)): `binary_cross_entropy`
    or `gaussian_nll` summed, not averaged, over all axes of the example, or the balance of the two terms is another.
    beta is that of https://openreview.net/forum?id=Sy2fzU9gl.
    """
    require_float(reconstruction, "reconstruction")
    kl = gaussian_kl(mean, log_var, where=where)
    require_shape(reconstruction, *kl.shape, name="reconstruction", hint="one number for each row of mean")
    keep = require_mask(where, kl.shape)
    reconstruction, kl = promote(reconstruction, kl)
    return masked(keep, reconstruction) + beta * kl


def importance_weighted(log_weights: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    """-log of the mean of exp(log_weights) over the last axis, in nats.  (..., samples) -> (...)

    log_weights are log p(x, z) - log q(z | x) for z drawn from q.  One sample gives the negative evidence lower bound,
    more a tighter bound.  https://arxiv.org/abs/1509.00519
    """
    require_float(log_weights, "log_weights")
    require_shape(log_weights, ..., None, name="log_weights", hint="the samples of an example are the last axis")
    keep = require_mask(where, jnp.shape(log_weights)[:-1])
    (log_weights,) = keep_only(keep, *promote(log_weights))
    count = jnp.log(jnp.asarray(log_weights.shape[-1], log_weights.dtype))
    return masked(keep, count - jax.nn.logsumexp(log_weights, axis=-1))
