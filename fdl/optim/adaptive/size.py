"""Adafactor's measures: updates as large as the parameters are, and its own falling rate."""

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.schedules.standard import schedule
from fdl.optim.transform import Schedule, Transform, require_constant, stateless, transform
from fdl.tree import norm, require_like, widen


@transform
def scale_by_param_rms(low: float = 1e-3) -> Transform:
    """Every array times the root mean square of its parameters, or times low if that is larger.

    https://arxiv.org/abs/1804.04235
    """
    require_constant("low", low, 0.0)

    def update(updates, params):
        if params is None:
            raise TypeError("scale_by_param_rms needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        return jax.tree.map(lambda u, p: scale(u, jnp.maximum(_rms(p), low)), updates, params)

    return stateless(update)


@transform
def scale_by_param_norm(low: float = 1e-3) -> Transform:
    """Every array times the norm of its parameters, u max(|p|, low)."""
    require_constant("low", low, 0.0)

    def update(updates, params):
        if params is None:
            raise TypeError("scale_by_param_norm needs the parameters: call update(updates, opt_state, params)")
        require_like(updates, params, "updates", "parameters", dtypes=False)
        return jax.tree.map(lambda u, p: scale(u, jnp.maximum(norm(p), low)), updates, params)

    return stateless(update)


@schedule
def relative_step(limit: float = 1e-2) -> Schedule:
    """Adafactor's learning rate min(limit, 1 / sqrt(step + 1))."""
    require_constant("limit", limit, 0.0)
    return lambda step: jnp.minimum(limit, jax.lax.rsqrt(jnp.asarray(step, float) + 1))


def _rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(widen(x))))
