"""Mixed precision: the types in which a model keeps its parameters, computes and answers, by path."""

from collections.abc import Mapping
from typing import TypeAlias

import jax.numpy as jnp
from jax.typing import DTypeLike

from fdl.checks import DtypeError, TreeError
from fdl.nn.adapters.leaves import as_type, params_of
from fdl.nn.layer import Layer, layer
from fdl.nn.rewire import map_parts
from fdl.tree import Tree, assign, map_with_path

Types: TypeAlias = DTypeLike | Mapping[str, DTypeLike]


@layer
def mixed_precision(
    model: Layer, compute: Types = "bfloat16", *, params: Types = "float32", output: DTypeLike = "float32"
) -> Layer:
    """The model computing in 16 bits with parameters kept in 32.  (as the model)  https://arxiv.org/abs/1710.03740

    compute and params are a type, or a table of which the first pattern counts that matches a parameter:
    {"**/layer_norm_*/*": "float32", "**": "bfloat16"}.  Inputs, and all between parts, are of the narrowest type in
    `compute`; a part whose parameters compute in a wider one has its inputs widened and what it returns narrowed.  The
    model returns `output`.  Gradients are of the types in `params`, the state keeps its own.

    Whatever is asked for, moments of norms, softmax, losses, and gradients of micro-batches are summed in float32 at
    least.  float16 needs `optim.scale_loss`; parameters kept in 16 bits need `optim.master_weights`, `optim.kahan` or
    `optim.stochastic_rounding`.  To freeze parts, put `freeze` around this.
    Raises TreeError for a pattern that comes first for no parameter, for a parameter that none matches, and for a part
    whose parameters compute in several types; DtypeError for a type that is not floating point.
    """
    used, narrow = _by_path(model, compute), _narrowest(compute)
    typed = lambda path, part: _in_its_type(path, part, used, narrow)
    return _cast(typed("", map_parts(model, typed)), compute, params, _floating(output))


def _cast(model: Layer, compute: Types, params: Types, output: jnp.dtype) -> Layer:
    """The model, whose parts are typed, with what goes in and out cast."""
    kept, used, narrow = _by_path(model, params), _by_path(model, compute), _narrowest(compute)

    def init(key):
        made, state = model.init(key)
        return _by_table(made, kept), state

    def apply(params, state, *x, key=None, train=False):
        y, state = model.apply(_by_table(params, used), state, *as_type(x, narrow), key=key, train=train)
        return as_type(y, output), state

    inside = model.rebuild
    again = inside and (lambda parts: _cast(inside(parts), compute, params, output))
    return Layer(init, apply, model.parts, model.is_pure, again)


@layer
def computing(part: Layer, dtype: DTypeLike, narrow: DTypeLike) -> Layer:
    """The part on inputs of one type, its outputs in the other.  (as the part)"""

    def apply(params, state, *x, key=None, train=False):
        y, state = part.apply(params, state, *as_type(x, dtype), key=key, train=train)
        return as_type(y, narrow), state

    return Layer(part.init, apply, part.parts, part.is_pure)


def _in_its_type(path: str, part: Layer, used: Mapping[str, jnp.dtype], narrow: jnp.dtype) -> Layer:
    """A part that holds parameters of its own, among parts that compute in the narrow type."""
    below = f"{path}/" if path else ""
    types = set() if part.parts else {dtype for leaf, dtype in used.items() if leaf.startswith(below)}
    if len(types) > 1:
        several = " and ".join(sorted(map(str, types)))
        raise TreeError(f"the parameters of {part.kind} at {path!r} compute in {several}; give its leaves one type")
    return part if types <= {narrow} else computing(part, types.pop().name, narrow.name)


def _by_path(model: Layer, types: Types) -> dict[str, jnp.dtype]:
    """The type of each parameter."""
    if isinstance(types, Mapping):
        return assign(params_of(model), {pattern: _floating(dtype) for pattern, dtype in types.items()})
    return dict.fromkeys(params_of(model), _floating(types))


def _narrowest(types: Types) -> jnp.dtype:
    asked = types.values() if isinstance(types, Mapping) else [types]
    return min(map(_floating, asked), key=lambda dtype: dtype.itemsize)


def _by_table(params: Tree, table: Mapping[str, jnp.dtype]) -> Tree:
    return map_with_path(lambda path, leaf: as_type(leaf, table[path]), params)


def _floating(dtype: DTypeLike) -> jnp.dtype:
    if not jnp.issubdtype(dtype, jnp.floating):
        raise DtypeError(f"a type to compute in must be floating point, got {jnp.dtype(dtype)}")
    return jnp.dtype(dtype)
