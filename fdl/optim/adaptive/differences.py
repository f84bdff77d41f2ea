"""Differences of successive gradients: a look ahead, and a correction of their variance."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE, filled, over_root
from fdl.optim.curvature.line_search import require_loss
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Hyper, Transform, require_constant, require_number, transform, value_at
from fdl.tree import Tree


class DifferenceState(NamedTuple):
    """Steps taken, and the last gradients, or the parameters where they were taken."""

    step: jax.Array
    last: Tree


class AdanState(NamedTuple):
    """Steps taken, running means of gradients, differences and squares, and the last gradients."""

    step: jax.Array
    mean: Tree
    difference: Tree
    square: Tree
    last: Tree


@transform
def add_difference(strength: Hyper = 1.0, *, exact: bool = False) -> Transform:
    """Add strength times what the gradient changed since the last step; the first step adds nothing.

    With strength 1 it is optimistic gradient descent, https://arxiv.org/abs/1711.00141; with strength
    gamma b1 / (1 - b1) the corrected gradient of MARS, https://arxiv.org/abs/2411.10438.  exact=True takes the last
    gradient anew, at the last parameters on the batch of today: a second gradient in each step, of the loss that the
    train step passes; without it TypeError.
    """
    require_number("strength", strength, 0.0)

    def init(params):
        return DifferenceState(jnp.zeros((), jnp.int32), moments(params))

    def update(updates, state, params=None, **extras):
        factor = value_at(strength, state.step)
        then = state.last
        if exact:
            value_fn = require_loss("add_difference(exact=True)", params, extras)[2]
            then = jax.grad(value_fn)(jax.tree.map(lambda last, p: last.astype(p.dtype), state.last, params))

        def rule(g, last, then):
            change = jnp.where(state.step == 0, 0, g - then.astype(g.dtype))
            return g + jnp.asarray(factor, g.dtype) * change, g, then

        corrected, last, _ = each_leaf(rule, updates, state.last, then)
        if exact:
            last = jax.tree.map(lambda old, p: p.astype(old.dtype), state.last, params)
        return corrected, DifferenceState(state.step + 1, last)

    return Transform(init, update)


@transform
def scale_by_adan(b1: float = 0.98, b2: float = 0.92, b3: float = 0.99, eps: float = 1e-8) -> Transform:
    """Adam with Nesterov's momentum from differences of gradients.  https://arxiv.org/abs/2208.06677

    The decays are those of the authors' code, 1 minus the paper's; like it, it corrects all means for their start at 0.
    """
    require_constant("b1", b1, 0.0, BELOW_ONE)
    require_constant("b2", b2, 0.0, BELOW_ONE)
    require_constant("b3", b3, 0.0, BELOW_ONE)
    require_constant("eps", eps, 0.0)

    def init(params):
        require_real(params)
        return AdanState(jnp.zeros((), jnp.int32), *(moments(params) for _ in range(4)))

    def update(updates, state, params=None, **extras):
        step = state.step + 1
        scales = [1 / filled(decay, step) for decay in (b1, b2, b3)]

        def rule(g, mean, difference, square, last):
            mean_scale, difference_scale, square_scale = (scale.astype(g.dtype) for scale in scales)
            change = jnp.where(state.step == 0, 0, g - last)
            mean = b1 * mean + (1 - b1) * g
            difference = b2 * difference + (1 - b2) * change
            square = b3 * square + (1 - b3) * jnp.square(g + b2 * change)
            s = mean * mean_scale + b2 * (difference * difference_scale)
            return over_root(s, square * square_scale, eps), mean, difference, square, g

        updates, *moved = each_leaf(rule, updates, *state[1:])
        return updates, AdanState(step, *moved)

    return Transform(init, update)
