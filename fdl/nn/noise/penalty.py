"""Terms of the loss that belong to inner values of a model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fdl.checks import require_shape
from fdl.nn.layer import Layer, layer
from fdl.recipe import Function, recipe
from fdl.tree import widen


@layer
def penalty(f: Callable[..., jax.Array], /) -> Layer:
    """The input as it is; in training the number f(input) is left in the state under "penalty".  (...) -> same shape

    `losses.state_penalty(new_state)` sums what all such layers left, for the loss to add; gradients flow through it.
    Evaluation leaves the state alone.  A part called twice in one forward keeps the number of its last call.
    Raises ShapeError where f does not return one number.
    """

    def apply(params, state, x, *, key=None, train=False):
        if not train:
            return x, state
        value = f(x)
        require_shape(value, name="what a penalty returns", hint="sum or average it")
        return x, {"penalty": jnp.asarray(value).astype(state["penalty"].dtype)}

    return Layer(lambda key: ({}, {"penalty": jnp.zeros(())}), apply)


measure = recipe(Function)  # the decorator of constructors of what a penalty measures


@measure
def l1_activity(strength: float) -> Callable[[jax.Array], jax.Array]:
    """strength times the sum of absolute values, a mean over the leading axis: penalty(l1_activity(1e-3))."""
    return lambda x: strength * jnp.sum(jnp.abs(widen(x))) / x.shape[0]


@measure
def l2_activity(strength: float) -> Callable[[jax.Array], jax.Array]:
    """strength times the sum of squares, a mean over the leading axis: penalty(l2_activity(1e-3))."""
    return lambda x: strength * jnp.sum(jnp.square(widen(x))) / x.shape[0]
