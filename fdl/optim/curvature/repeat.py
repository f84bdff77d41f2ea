"""Several updates on one batch, taken as one."""

from collections.abc import Callable
from typing import Any

import jax

from fdl.optim.curvature.line_search import require_loss
from fdl.optim.transform import Transform, apply_updates, require_trainable, require_whole, transform
from fdl.tree import Tree, widen


@transform
def repeat(inner: Transform, times: int) -> Transform:
    """So many updates of an inner optimizer on the same batch, which forgets all before the next batch.

    For optimizers that gain little from a single step and whose memory is worthless on another batch: three line
    searches of conjugate gradients per batch (Hinton & Salakhutdinov 2006, https://doi.org/10.1126/science.1127647),
    repeat(lbfgs(), 20).  The gradient given serves the first update, the loss at hand the others.
    """
    require_whole("times", times)

    def update(updates, state, params=None, **extras):
        move = _mover(inner, require_loss("repeat", params, extras)[2], extras)
        first, memory = inner.update(updates, inner.init(params), params, **extras)
        carried = apply_updates(params, first), memory
        last, _ = jax.lax.fori_loop(1, times, lambda i, carried: move(*carried), carried)
        return jax.tree.map(lambda q, p, u: (widen(q) - widen(p)).astype(u.dtype), last, params, updates), state

    def init(params):
        require_trainable(params)
        return ()

    return Transform(init, update)


def _mover(inner: Transform, f: Callable[[Tree], jax.Array], extras: dict[str, Any]) -> Callable:
    def move(params, memory):
        value, grad = jax.value_and_grad(f)(params)
        updates, memory = inner.update(grad, memory, params, **(extras | {"value": value, "grad": grad}))
        return apply_updates(params, updates), memory

    return move
