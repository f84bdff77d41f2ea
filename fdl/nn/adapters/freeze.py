"""Parameters that are not trained are state: so they get no gradient, no optimizer slot and no decay.

They keep their paths: what `freeze_params` and `quantize_params` move from params to state, `thaw_params` moves back.
"""

from collections.abc import Callable

from fdl.nn.adapters.integers import from_integers
from fdl.nn.adapters.leaves import chosen, matrix_shape, narrowed, params_of
from fdl.nn.layer import Layer, Params, State, layer
from fdl.tree import Tree, Where, flatten, merge, split, unflatten


@layer
def freeze(model: Layer, where: Where) -> Layer:
    """The model with the parameters meant carried in the state, where training leaves them bit for bit.  (as the model)

    Paths stay: params {"head/kernel"} and state {"body/kernel"}, where params held both.  For parameters at hand
    (pretrained ones) `freeze_params` does the same.  Where parameters or inputs are cast to 16 bits, frozen ones follow
    inside.  Raises TreeError where a pattern matches nothing.
    """
    chosen(model, where)
    return holding(model, lambda params, state: freeze_params(params, state, where), lambda model: freeze(model, where))


def freeze_params(params: Params, state: State, where: Where) -> tuple[Params, State]:
    """(params, state) of `freeze(model, where)` from those of the model."""
    held, trained = split(params, where)
    return trained, merge(state, held)


def thaw_params(model: Layer, params: Params, state: State) -> tuple[Params, State]:
    """(params, state) of the model from those of `freeze(model, ...)` or `quantized(model, ...)`."""
    held, carried = _held_and_carried(model, state)
    return merge(params, _restored(model, held)), carried


def holding(model: Layer, hold: Callable[..., tuple[Params, State]], again: Callable[[Layer], Layer]) -> Layer:
    """The model of which hold(params, state) moves parameters into the state; again(model) does it to another."""

    def init(key):
        return hold(*model.init(key))

    def apply(params, state, *x, key=None, train=False):
        held, carried = _held_and_carried(model, state)
        whole = merge(params, narrowed(_restored(model, held), params, x))
        y, carried = model.apply(whole, carried, *x, key=key, train=train)
        return y, merge(carried, held)

    inside = model.rebuild
    return Layer(init, apply, model.parts, False, inside and (lambda parts: again(inside(parts))))


def _held_and_carried(model: Layer, state: State) -> tuple[State, State]:
    """What of the state lies at the path of a parameter, or right below it as integers do; and the rest."""
    paths = params_of(model)
    return split(state, lambda path, leaf: path in paths or path.rpartition("/")[0] in paths, strict=False)


def _restored(model: Layer, held: Tree) -> Params:
    """What is held, as the parameters that it stands for."""
    leaves, found = flatten(held), {}
    for path, like in params_of(model).items():
        if path in leaves:
            found[path] = leaves[path]
        elif f"{path}/scale" in leaves:
            parts = {name: leaves[f"{path}/{name}"] for name in ("int8", "int4", "scale") if f"{path}/{name}" in leaves}
            found[path] = from_integers(parts, matrix_shape(model, path)[-2]).reshape(like.shape)
    return unflatten(found)
