"""Adafactor's measures: updates as large as the parameters are, and its own falling rate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.optim.leaves import scale
from fdl.optim.points import require_params
from fdl.optim.schedules.standard import schedule
from fdl.optim.transform import Schedule, Transform, require_constant, stateless, transform
from fdl.tree import norm, widen


@transform
def scale_by_param_rms(low: float = 1e-3) -> Transform:
    """Every array times the root mean square of its parameters, or times low if that is larger.

    https://arxiv.org/abs/1804.04235
    """
    return _scale_by("scale_by_param_rms", _rms, low)


@transform
def scale_by_param_norm(low: float = 1e-3) -> Transform:
    """Every array times the norm of its parameters, u max(|p|, low)."""
    return _scale_by("scale_by_param_norm", norm, low)


@schedule
def relative_step(limit: float = 1e-2) -> Schedule:
    """Adafactor's learning rate min(limit, 1 / sqrt(step + 1))."""
    require_constant("limit", limit, 0.0)
    return lambda step: jnp.minimum(limit, jax.lax.rsqrt(jnp.asarray(step, float) + 1))


def _scale_by(name: str, measure: Callable[[jax.Array], jax.Array], low: float) -> Transform:
    """Every array times the measure of its parameters, or times low if that is larger."""
    require_constant("low", low, 0.0)

    def update(updates, params):
        require_params(name, updates, params)
        return jax.tree.map(lambda u, p: scale(u, jnp.maximum(measure(p), low)), updates, params)

    return stateless(update)


def _rms(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(jnp.square(widen(x))))
