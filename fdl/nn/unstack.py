"""A model whose repeated parts stand apart, each with arrays of its own: for decoding."""

from typing import Any

import jax

from fdl.nn.compose import wired
from fdl.nn.layer import Layer, Params, layer


def unstack(model: Layer, params: Params) -> tuple[Layer, Params]:
    """The model with every `repeat` written out, its params under "0", "1", ...; the same function in evaluation.

    Do it once, before a loop that decodes token by token: there a stack is copied a slice at a time at every token,
    which takes longer than the products.  The program then grows with depth.  A repeat inside `each`, `remat` or
    another repeat stays as it is.
    Memory that a model carries is stacked too: unstack before `cached`, whose init then gives the memory that fits.

        model, params = nn.unstack(model, params)
        decoder = nn.cached(model, batch, length)
    """
    if model.kind == "repeat" and model.call:
        part, depth = model.call.bound.arguments["part"], model.call.bound.arguments["depth"]
        return chain(part, depth), {str(i): jax.tree.map(lambda a, i=i: a[i], params) for i in range(depth)}
    if model.rebuild is None or _hides_a_part(model):
        return model, params
    pairs = {name: unstack(part, params.get(name, {})) for name, part in model.parts.items()}
    if all(pairs[name][0] is part for name, part in model.parts.items()):
        return model, params
    return model.rebuild({name: part for name, (part, _) in pairs.items()}), {
        name: own for name, (_, own) in pairs.items() if own
    }


@layer
def chain(part: Any, depth: int) -> Layer:
    """`repeat` without its loop: (x, *rest) -> x of same shape, the params of each repetition under its number."""

    def forward(x, bound):
        y, *rest = x
        for one in bound.values():
            y = one(y, *rest)
        return y

    return wired(forward, {str(i): part for i in range(depth)})


def _hides_a_part(model: Layer) -> bool:
    """Whether this is a layer around one part, which shows the parts of that one, stacked it may be, as its own."""
    given = model.call.bound.arguments.values() if model.call else ()
    return any(isinstance(inner, Layer) and inner.parts and inner.parts == model.parts for inner in given)
