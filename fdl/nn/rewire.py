"""A model is a tree of parts; here parts are replaced by path, without editing the code that built them."""

from collections.abc import Callable

from fdl.checks import TreeError
from fdl.nn.layer import Layer, layer
from fdl.tree import Where, require_matches, stands_for


@layer
def rewire(model: Layer, where: Where, change: Callable[[Layer], Layer]) -> Layer:
    """The model with change(part) in place of every part that is meant.

    where is a pattern of paths ("blocks/*/attend"), several, or a function (path, part) -> bool.  Inner parts are
    replaced before the parts around them.  The part of `repeat` stands for all repetitions at once.
    Raises TreeError where nothing matches, or where a part shows parts that it cannot be rebuilt from.
    """
    require_matches(parts_of(model), where)
    return _changed(model, "", lambda path, old, new: change(new) if stands_for(where, path, old) else new)


def parts_of(model: Layer, path: str = "") -> dict[str, Layer]:
    """Every part by path, inner parts first; the model itself is not among them."""
    found = {}
    for name, part in model.parts.items():
        inner = f"{path}/{name}".strip("/")
        found |= parts_of(part, inner) | {inner: part}
    return found


def map_parts(model: Layer, change: Callable[[str, Layer], Layer]) -> Layer:
    """The model with change(path, part) in place of every part; the model itself stays."""
    return _changed(model, "", lambda path, old, new: change(path, new))


def _changed(part: Layer, path: str, change: Callable[[str, Layer, Layer], Layer]) -> Layer:
    """The part with change(path, part as it was, part with its inner parts replaced) for every part inside."""
    parts = {}
    for name, old in part.parts.items():
        inner = f"{path}/{name}".strip("/")
        parts[name] = change(inner, old, _changed(old, inner, change))
    if all(parts[name] is old for name, old in part.parts.items()):
        return part
    if part.rebuild is None:
        raise TreeError(f"{part.kind} at {path!r} cannot be rebuilt of other parts: its Layer has no `rebuild`")
    return part.rebuild(parts)
