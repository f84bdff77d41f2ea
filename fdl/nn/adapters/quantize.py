"""Weights kept as integers: an eighth or a quarter of their bits, real numbers again where they are used."""

from fdl.checks import ShapeError
from fdl.nn.adapters.freeze import holding
from fdl.nn.adapters.integers import to_integers
from fdl.nn.adapters.leaves import chosen, matrix_shape
from fdl.nn.layer import Layer, Params, State, layer
from fdl.tree import Where, flatten, merge, split, unflatten


@layer
def quantized(model: Layer, where: Where = "**/kernel", *, bits: int = 8, group: int | None = None) -> Layer:
    """The model with the kernels meant carried in the state as integers, see `quantize_params`.  (as the model)

    They become real numbers again in every call, so it is the memory at rest that shrinks.  The rest can be trained:
    quantized(lora(model, ...), "base/**/kernel", bits=4) is https://arxiv.org/abs/2305.14314 with even levels.
    Raises ValueError for other bits than 8 and 4, ShapeError where groups do not divide the rows of a kernel.
    """
    _require_groups(model, where, bits, group)
    return holding(
        model,
        lambda params, state: quantize_params(model, params, state, where, bits=bits, group=group),
        lambda model: quantized(model, where, bits=bits, group=group),
    )


def quantize_params(
    model: Layer,
    params: Params,
    state: State,
    where: Where = "**/kernel",
    *,
    bits: int = 8,
    group: int | None = None,
) -> tuple[Params, State]:
    """(params, state) of `quantized(model, ...)` from those of the model; `thaw_params` gives them back, rounded.

    Kernels, seen as (rows, out), lie in the state as {"int8" or "int4", "scale"}: a scale per output, or per `group`
    of rows of an output.  A weight is off by half a scale at most.
    """
    _require_groups(model, where, bits, group)
    kernels, rest = split(params, where)
    integers = {}
    for path, kernel in flatten(kernels).items():
        made = to_integers(kernel.reshape(matrix_shape(model, path)), bits, group)
        integers |= {f"{path}/{name}": leaf for name, leaf in made.items()}
    return rest, merge(state, unflatten(integers))


def _require_groups(model: Layer, where: Where, bits: int, group: int | None) -> None:
    if bits not in (8, 4):
        raise ValueError(f"bits must be 8 or 4, got {bits}")
    for path in chosen(model, where):
        rows = matrix_shape(model, path)[-2]
        if group is not None and (group < 1 or rows % group):
            raise ShapeError(f"group must divide the {rows} rows of {path!r}, got {group}")
