"""Weights computed from what is trained, in front of any part."""

from collections.abc import Callable

import jax

from fdl.nn.layer import Layer, Part, as_layer, layer
from fdl.tree import Where, flatten, merge, require_matches, stands_for, unflatten

Extras = dict[str, jax.Array]


@layer
def reparametrize(
    part: Part,
    where: Where,
    compute: Callable[..., tuple[jax.Array, Extras]],
    start: Callable[[jax.Array, jax.Array], tuple[Extras, Extras]] | None = None,
) -> Layer:
    """The part with every parameter that is meant computed anew before each call.

    start(key, value) -> (params, state) says what is trained and carried beside a value, arrays by name, and
    compute(value, params, state, train) -> (value, state) what the part gets in its place.  The value itself stays
    trained under its own path; what is beside `kernel` stands at `kernel_name`.
    Put it inside of `repeat`, which stacks parameters.  Raises TreeError where nothing matches.
    """
    part = as_layer(part)
    own_params, own_state = map(flatten, jax.eval_shape(part.init, jax.random.key(0)))
    require_matches(own_params, where)
    meant = [path for path, leaf in own_params.items() if stands_for(where, path, leaf)]

    def init(key):
        params, state = part.init(key)
        if start is None:
            return params, state
        leaves, beside, carried = flatten(params), {}, {}
        for number, path in enumerate(meant):
            trained, kept = start(jax.random.fold_in(key, number), leaves[path])
            beside |= _named(path, trained)
            carried |= _named(path, kept)
        return merge(params, unflatten(beside)), merge(state, unflatten(carried))

    def apply(params, state, *x, key=None, train=False):
        leaves, own, after = flatten(params), flatten(state), {}
        values = {path: leaves[path] for path in own_params}
        for path in meant:
            trained, carried = _beside(leaves, own_params, path), _beside(own, own_state, path)
            values[path], kept = compute(leaves[path], trained, carried, train)
            own = {p: leaf for p, leaf in own.items() if p not in _named(path, carried)}
            after |= _named(path, kept)
        y, state = part.apply(unflatten(values), unflatten(own), *x, key=key, train=train)
        return y, merge(state, unflatten(after))

    inside = part.rebuild
    rebuild = inside and (lambda parts: reparametrize(inside(parts), where, compute, start))
    stateless = not jax.eval_shape(init, jax.random.key(0))[1]
    return Layer(init, apply, part.parts, part.is_pure and stateless, rebuild)


def _named(path: str, values: Extras) -> Extras:
    return {f"{path}_{name}": value for name, value in values.items()}


def _beside(leaves: Extras, own: Extras, path: str) -> Extras:
    """What stands beside a path and is not the part's own, by name."""
    return {p[len(path) + 1 :]: v for p, v in leaves.items() if p.startswith(f"{path}_") and p not in own}
