"""Which pixels a unit answers to: its gradient by the input, and two that send back through ReLU something else.

A ReLU of input x that gets g from above sends down

    gradient        g where x > 0            Simonyan et al. 2013, https://arxiv.org/abs/1312.6034
    deconvolution   g where g > 0            Zeiler & Fergus 2013, https://arxiv.org/abs/1311.2901
    guided          g where x > 0 and g > 0  Springenberg et al. 2014, https://arxiv.org/abs/1412.6806

and max-pooling always sends to where the largest value was, which are the switches of a deconvnet.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fdl.inspection.capture import capture
from fdl.nn import relu, rewire
from fdl.nn.layer import Layer, Params, State, function


def saliency(
    model: Layer,
    params: Params,
    state: State,
    x: jax.Array,
    target: Callable[[Any], jax.Array],
    *,
    where: str = "",
    rule: str = "gradient",
) -> jax.Array:
    """What reaches x of target(output of the part at `where`), a number, by one of the rules above.  -> shape of x

    The path "" is the model itself.  Rules are for the parts that are `nn.relu`; raises TreeError if there are none,
    and ValueError for an unknown rule.

    >>> saliency(model, params, state, image, lambda y: y[:, 3].sum(), rule="guided")
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if rule != "gradient":
        model = rewire(model, lambda path, part: part == function(relu), lambda part: function(RULES[rule]))
    return jax.grad(lambda x: target(capture(model, where, params, state, x)[2][where]))(x)


@jax.custom_vjp
def _deconvolved(x):
    return relu(x)


@jax.custom_vjp
def _guided(x):
    return relu(x)


_deconvolved.defvjp(lambda x: (relu(x), None), lambda _, g: (relu(g),))
_guided.defvjp(lambda x: (relu(x), x > 0), lambda on, g: (jnp.where(on, relu(g), 0),))

RULES = {"gradient": relu, "deconvolution": _deconvolved, "guided": _guided}
