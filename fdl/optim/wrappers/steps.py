"""One update from several calls: gradients are summed over calls, and between updates the parameters stand still.

Where one batch is too large for memory, the `microbatches` of `make_train_step` do this inside a step, and batch norm,
metrics and the count of steps know of it.  Here each call is a step of the run.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.extras import OF_PARAMS
from fdl.optim.leaves import moments
from fdl.optim.transform import Hyper, Transform, require_number, require_state, transform, value_at
from fdl.tree import Tree, require_like, zeros_like

OF_ONE_BATCH = (*OF_PARAMS, "output_loss_fn")


class MultiStepsState(NamedTuple):
    """Calls since the last update, updates made, the sums of gradients and losses since, and the inner state."""

    seen: jax.Array
    step: jax.Array
    total: Tree
    value: jax.Array
    inner: Any


@transform
def multi_steps(inner: Transform, every: Hyper, *, average: bool = True) -> Transform:
    """At every `every`-th call the inner update for the mean of the gradients since the last; 0 at the calls between.

    every may be a schedule of the updates made so far, as a batch that grows with training wants it.  The inner
    transform counts updates, not calls, and finds the mean loss as `value`; what takes the loss as a function is
    refused, since that function knows the last batch alone.  With average=False the sum enters in place of the mean:
    multi_steps(chain(), k, average=False) sums what it gets and passes the sum on.
    """
    require_number("every", every, 1.0)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return MultiStepsState(zero, zero + 0, moments(params), jnp.zeros((), float), inner.init(params))

    def update(updates, state, params=None, **extras):
        require_state(state, MultiStepsState)
        require_like(updates, state.total, "updates", "optimizer state", dtypes=False)
        count = jnp.asarray(value_at(every, state.step)).astype(jnp.int32)
        seen = state.seen + 1
        total = jax.tree.map(lambda t, u: t + u.astype(t.dtype), state.total, updates)
        value = state.value + jnp.asarray(extras.get("value", 0.0)).astype(state.value.dtype)
        share = lambda x: x / jnp.asarray(count if average else 1).astype(x.dtype)

        def go():
            grads = jax.tree.map(lambda t, u: share(t).astype(u.dtype), total, updates)
            moved, own = inner.update(
                grads, state.inner, params, **_of_all(extras, grads, value / count.astype(value.dtype))
            )
            kept = jax.tree.map(lambda m, u: m.astype(u.dtype), moved, updates)
            return kept, MultiStepsState(zeros_like(seen), state.step + 1, zeros_like(total), zeros_like(value), own)

        def wait():
            return zeros_like(updates), MultiStepsState(seen, state.step, total, value, state.inner)

        return jax.lax.cond(seen >= count, go, wait)

    return Transform(init, update)


def _of_all(extras: dict, grads: Tree, value: jax.Array) -> dict:
    """The extras of all calls together: the mean gradient and the mean loss, and no function of one batch."""
    seen = {name: extra for name, extra in extras.items() if name not in OF_ONE_BATCH}
    means = {"grad": grads, "value": value}
    return seen | {name: means[name] for name in means.keys() & extras.keys()}
