"""Steps by signs, whatever the size of the gradient."""

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from fdl.optim.adaptive.running import BELOW_ONE
from fdl.optim.curvature.line_search import require_loss
from fdl.optim.leaves import each_leaf, moments, require_real
from fdl.optim.transform import Transform, require_constant, transform
from fdl.tree import Tree

RPropForm: TypeAlias = Literal["irprop-", "rprop-", "rprop+", "irprop+"]
FORMS = ("irprop-", "rprop-", "rprop+", "irprop+")


class RPropState(NamedTuple):
    """The size of every parameter's step, the sign of its last gradient (0 after a change of sign), and the last loss.

    Only iRprop+ keeps the loss.
    """

    size: Tree
    sign: Tree
    value: Any = ()


class LionState(NamedTuple):
    """Running mean of the gradients."""

    mean: Tree


@transform
def scale_by_sign() -> Transform:
    """Replace updates by their signs.  https://proceedings.mlr.press/v80/bernstein18a.html"""

    def init(params):
        require_real(params)
        return ()

    return Transform(init, lambda updates, state, params=None, **extras: (jax.tree.map(jnp.sign, updates), state))


@transform
def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> Transform:
    """The sign of b1 * mean + (1 - b1) g; the mean itself has decay b2.  https://arxiv.org/abs/2302.06675"""
    require_constant("b1", b1, 0.0, 1.0)
    require_constant("b2", b2, 0.0, BELOW_ONE)

    def init(params):
        require_real(params)
        return LionState(moments(params))

    def update(updates, state, params=None, **extras):
        rule = lambda g, mean: (jnp.sign(b1 * mean + (1 - b1) * g), b2 * mean + (1 - b2) * g)
        updates, mean = each_leaf(rule, updates, state.mean)
        return updates, LionState(mean)

    return Transform(init, update)


@transform
def scale_by_rprop(
    size: float | jax.Array = 0.1,
    *,
    shrink: float = 0.5,
    grow: float = 1.2,
    bounds: tuple[float, float] = (1e-6, 50.0),
    form: RPropForm = "irprop-",
) -> Transform:
    """Replace gradients by their signs times sizes that grow while a sign lasts and shrink when it changes.

    For full batches only: on small ones the signs are noise.  https://doi.org/10.1109/ICNN.1993.298623
    The forms, as in https://doi.org/10.1016/S0925-2312(01)00700-7, differ where a sign has changed: "irprop-" (torch)
    pauses for that step, "rprop-" goes on, "rprop+" takes the last step back, and "irprop+" takes it back if the loss
    has grown and pauses if not; it reads the loss from the train step, and raises TypeError without.  The forms with +
    take the last step to be the last update, so nothing may scale it behind.
    """
    low, high = bounds
    require_constant("bounds[0]", low, 0.0)
    require_constant("bounds[1]", high, low)
    if not isinstance(size, jax.Array):
        require_constant("size", size, low, high)
    require_constant("shrink", shrink, 0.0, 1.0)
    require_constant("grow", grow, 1.0)
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    keeps_value = form == "irprop+"

    def init(params):
        require_real(params)
        return RPropState(moments(params, size), moments(params), jnp.full((), jnp.inf, float) if keeps_value else ())

    def update(updates, state, params=None, **extras):
        loss = require_loss('scale_by_rprop(form="irprop+")', params, extras)[0] if keeps_value else None
        value = jnp.asarray(loss, state.value.dtype) if keeps_value else ()
        back = value > state.value if keeps_value else form == "rprop+"

        def rule(g, size, last):
            agree = g * last  # last is a sign: a product of two gradients could underflow
            changed, undo = agree < 0, -last * size
            size = size * jnp.where(agree > 0, grow, jnp.where(changed, shrink, 1.0))
            size = jnp.where(size < low, low, jnp.where(size > high, high, size))  # jnp.clip: 3 times slower on CPU
            sign = jnp.sign(g)
            if form != "rprop-":
                sign = jnp.where(changed, 0.0, sign)
            step = sign * size
            return step if form[-1] == "-" else jnp.where(changed & back, undo, step), size, sign

        updates, size, sign = each_leaf(rule, updates, state.size, state.sign)
        return updates, RPropState(size, sign, value)

    return Transform(init, update)
