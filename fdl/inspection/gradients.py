"""How much of the gradient arrives at each layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.inspection.probe import by_call, watch
from fdl.inspection.tap import tap
from fdl.nn.layer import Layer, Params, State
from fdl.tree import Where, norm


def gradient_norms(
    model: Layer,
    where: Where,
    params: Params,
    state: State,
    *x: Any,
    loss: Callable[[Any], jax.Array],
    key: jax.Array | None = None,
    train: bool = False,
) -> dict[str, jax.Array]:
    """The Euclidean norm of the gradient of loss(y) by the output of each part meant, over the whole batch, by path.

    Inside `repeat` a norm for each repetition, (depth,): where they fall from the last to the first, the gradient
    vanishes; where they grow, it explodes.  A pure function of arrays; see `capture` for where.

    >>> norms = gradient_norms(model, "blocks/tanh_0", params, state, x, loss=lambda y: jnp.mean(y**2))
    >>> norms["blocks/tanh_0"].shape
    (30,)
    """

    def look(path, run, params, state, x, given):
        y, state = run(params, state, *x)
        return y if given is None else tap(norm, y, given), state, norm(jax.lax.stop_gradient(y))

    def forward(sinks):
        y, _, seen = watch(model, where, look, params, state, *x, key=key, train=train, given=sinks)
        return loss(y), seen

    seen = jax.eval_shape(forward, None)[1]
    sinks = jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), seen)
    return by_call(jax.grad(forward, has_aux=True)(sinks)[0])
