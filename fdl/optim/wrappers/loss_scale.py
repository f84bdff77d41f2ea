"""Loss scaling for float16: the loss is multiplied before its gradient is taken, so that small gradients survive.

scale_loss(optimizer) goes to `make_train_step` as it is: the step multiplies the loss by what `loss_scale` reads.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.checks import TreeError
from fdl.optim.transform import Transform, require_constant, require_state, require_whole, transform
from fdl.optim.wrappers.wrap import all_finite, choose
from fdl.tree import widen


class LossScaleState(NamedTuple):
    """What the loss is multiplied by, finite steps since that changed, and the state of the inner transform."""

    scale: jax.Array
    good: jax.Array
    inner: Any


@transform
def scale_loss(
    inner: Transform, initial: float = 2.0**16, *, grow: float = 2.0, shrink: float = 0.5, every: int = 2000
) -> Transform:
    """Divide gradients of the scaled loss by the scale, in float32 at least, and pass them on where all are finite.

    Where one is not, parameters and inner state stay as they are and the scale shrinks; after `every` finite steps in
    a row it grows, unless it would overflow.  This is the rule of torch.amp.GradScaler.  It must be the outermost
    transform.  https://arxiv.org/abs/1710.03740
    """
    require_constant("initial", initial, math.ulp(0.0))
    require_constant("grow", grow, 1.0)
    require_constant("shrink", shrink, math.ulp(0.0), 1.0)
    require_whole("every", every)

    def init(params):
        return LossScaleState(jnp.full((), initial, float), jnp.zeros((), jnp.int32), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, LossScaleState)
        grads = jax.tree.map(lambda u: widen(u) / state.scale.astype(widen(u).dtype), updates)
        if "grad" in extras:
            extras["grad"] = grads
        moved, own = inner.update(grads, state.inner, params, **extras)
        finite = all_finite(grads)
        moved = jax.tree.map(lambda m, u: jnp.where(finite, m, 0).astype(u.dtype), moved, updates)
        scale, good = _next_scale(state, finite)
        return moved, LossScaleState(scale, good, choose(finite, own, state.inner))

    def _next_scale(state: LossScaleState, finite: jax.Array) -> tuple[jax.Array, jax.Array]:
        full = state.good + 1 >= every
        grown = jnp.where(jnp.isfinite(state.scale * grow), state.scale * grow, state.scale)
        scale = jnp.where(finite, jnp.where(full, grown, state.scale), state.scale * shrink)
        return scale, jnp.where(finite & ~full, state.good + 1, 0)

    return Transform(init, update)


def loss_scale(opt_state: Any) -> jax.Array | None:
    """What the loss is to be multiplied by before its gradient is taken, or None without `scale_loss`.

    Raises TreeError where `scale_loss` is not the outermost transform.
    """
    if isinstance(opt_state, LossScaleState):
        return opt_state.scale
    is_scale = lambda node: isinstance(node, LossScaleState)
    if any(map(is_scale, jax.tree.leaves(opt_state, is_leaf=is_scale))):
        raise TreeError("scale_loss must be the outermost transform: scale_loss(chain(...))")
    return None


def times(loss: jax.Array, scale: jax.Array | None) -> jax.Array:
    """The loss times the scale, in float32 at least; the loss as it is without one."""
    return loss if scale is None else widen(loss) * scale.astype(widen(loss).dtype)
