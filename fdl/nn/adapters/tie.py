"""One array in two places."""

from collections.abc import Mapping

import jax.numpy as jnp

from fdl.checks import ShapeError
from fdl.nn.adapters.leaves import chosen, params_of
from fdl.nn.layer import Layer, layer
from fdl.tree import flatten, split, unflatten


@layer
def tie(model: Layer, same: Mapping[str, str], *, transpose: bool = False) -> Layer:
    """The model with one array for several parameters: {"decoder/kernel": "encoder/kernel"}, copy to source.

    params hold the source alone, whose gradient is the sum over its uses; with transpose a copy has the last two axes
    swapped: {"head/kernel": "embed/table"}.  In a `wire` a part's `.params` do the same by hand.
    Raises TreeError for a path that is no parameter, ShapeError where shapes differ.  https://arxiv.org/abs/1608.05859
    """
    shapes = params_of(model)
    chosen(model, [*same, *same.values()])
    turn = (lambda leaf: jnp.swapaxes(leaf, -1, -2)) if transpose else (lambda leaf: leaf)
    for copy, source in same.items():
        shape = shapes[source].shape
        wanted = (*shape[:-2], *shape[:-3:-1]) if transpose else shape
        if shapes[copy].shape != wanted:
            raise ShapeError(f"{copy!r} must have shape {wanted} to be tied to {source!r}, got {shapes[copy].shape}")

    def init(key):
        params, state = model.init(key)
        return split(params, list(same))[1], state

    def apply(params, state, *x, key=None, train=False):
        leaves = flatten(params)
        copies = {copy: turn(leaves[source]) for copy, source in same.items()}
        return model.apply(unflatten(leaves | copies), state, *x, key=key, train=train)

    inside = model.rebuild
    rebuild = inside and (lambda parts: tie(inside(parts), same, transpose=transpose))
    return Layer(init, apply, model.parts, model.is_pure, rebuild)
