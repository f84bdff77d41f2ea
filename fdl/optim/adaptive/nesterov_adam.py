"""NAdam: Adam that looks ahead along its mean, as Nesterov does."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree


class NAdamState(NamedTuple):
    """Steps taken, the logarithm of the product of all momenta, and the means of gradients and squares."""

    step: jax.Array
    log_product: jax.Array
    mean: Tree
    square: Tree


@transform
def scale_by_nadam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    momentum_decay: float | None = 4e-3,
    scheduled_mean: bool = False,
) -> Transform:
    """Adam with Nesterov's look ahead.  https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ

    Its momentum in step t is b1 (1 - 0.96^(t momentum_decay) / 2); with momentum_decay=None it is b1.  In Dozat's paper
    the running mean has this momentum too (scheduled_mean=True); in torch only the look ahead does.
    """
    require_constant("b1", b1, math.ulp(0.0), BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)
    if momentum_decay is not None:
        require_constant("momentum_decay", momentum_decay, 0.0)

    def momentum(step):
        if momentum_decay is None:
            return jnp.asarray(b1, float)
        return b1 * (1 - 0.5 * jnp.exp(jnp.asarray(step, float) * (momentum_decay * math.log(0.96))))

    def init(params):
        require_real(params)
        return NAdamState(jnp.zeros((), jnp.int32), jnp.zeros((), float), moments(params), moments(params))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        now, after = momentum(step), momentum(step + 1)
        log_product = state.log_product + jnp.log(now)
        gradient_scale = (1 - now) / -jnp.expm1(log_product)
        mean_scale = after / -jnp.expm1(log_product + jnp.log(after))
        square_scale = 1 / filled(b2, step)

        def rule(g, mean, square):
            decay = now.astype(g.dtype) if scheduled_mean else b1
            mean = decay * mean + (1 - decay) * g
            square = b2 * square + (1 - b2) * (g * g)
            s = mean_scale.astype(g.dtype) * mean + gradient_scale.astype(g.dtype) * g
            return over_root(s, square * square_scale.astype(g.dtype), eps), mean, square

        updates, mean, square = each_leaf(rule, updates, state.mean, state.square)
        return updates, NAdamState(step, log_product, mean, square)

    return Transform(init, update)
