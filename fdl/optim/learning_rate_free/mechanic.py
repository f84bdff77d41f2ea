"""Mechanic: the scale of the updates of any optimizer, found by betting on them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.leaves import moments
from fdl.optim.points import require_params
from fdl.optim.transform import Transform, require_constant, require_state, transform
from fdl.tree import Tree, norm, vdot


class MechanicState(NamedTuple):
    """The scale, the gain, the largest product and the sum of squares for each decay; all updates; the inner state."""

    scale: jax.Array
    reward: jax.Array
    largest: jax.Array
    square: jax.Array
    total: Tree
    inner: Any


@transform
def mechanic(
    inner: Transform,
    betas: Sequence[float] = (0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999),
    *,
    weight_decay: float = 1e-2,
    initial: float = 1e-8,
    eps: float = 1e-8,
    clip: bool = False,
) -> Transform:
    """The parameters are the start plus the sum of the inner updates, times a scale that is learnt.

    x = x₀ + s Σ inner(g), s = Σ s_β;  h = ⟨g + weight_decay s |g| x / |x|, Σ inner(g)⟩;  L_β ← max(β L_β, |h|)
    r_β ← max(0, β r_β − s_β h);  v_β ← β² v_β + h²;  s_β = (initial L_β / len(betas) + r_β) / (√v_β + eps)

    Wrap an optimizer of learning rate 1, or of a schedule whose peak is 1.  weight_decay is Mechanic's own and enters
    the scale alone.  clip=True bounds each product by the largest before, as a later version does.  The first step is
    0.  https://arxiv.org/abs/2306.00144
    """
    for beta in betas:
        require_constant("betas", beta, 0.0, BELOW_ONE)
    require_constant("weight_decay", weight_decay, 0.0)
    require_constant("initial", initial, 0.0)
    require_constant("eps", eps, 0.0)

    def init(params):
        zeros = jnp.zeros((4, len(betas)), float)
        return MechanicState(zeros[0], zeros[1], zeros[2], zeros[3], moments(params), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, MechanicState)
        require_params("mechanic", updates, params)
        moves, own = inner.update(updates, state.inner, params, **extras)
        before, number = jnp.sum(state.scale), state.scale.dtype
        size = norm(params).astype(number)
        pull = weight_decay * before * norm(updates).astype(number) / jnp.where(size == 0, 1, size)
        product = vdot(updates, state.total).astype(number) + pull * vdot(params, state.total).astype(number)
        bets = _bet(state, product, jnp.asarray(betas, number), initial / len(betas), eps, clip)
        after = jnp.sum(bets.scale)
        rise = after - before

        def move(u, m, total):
            m = m.astype(total.dtype)
            return (rise.astype(m.dtype) * total + after.astype(m.dtype) * m).astype(u.dtype)

        total = jax.tree.map(lambda total, m: total + m.astype(total.dtype), state.total, moves)
        return jax.tree.map(move, updates, moves, state.total), bets._replace(total=total, inner=own)

    return Transform(init, update)


def _bet(state: MechanicState, product: jax.Array, betas: jax.Array, initial: float, eps: float, clip: bool):
    """The state with its next scale, reward, largest and square."""
    stake = jnp.clip(product, -state.largest, state.largest) if clip else product
    largest = jnp.maximum(betas * state.largest, jnp.abs(product))
    square = jnp.square(betas) * state.square + jnp.square(product)
    reward = jnp.maximum(betas * state.reward - state.scale * stake, 0)
    scale = (initial * largest + reward) / (jnp.sqrt(square) + eps)
    return state._replace(scale=scale, reward=reward, largest=largest, square=square)
