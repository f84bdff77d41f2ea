"""Restore whole states: what a checkpoint says of itself is checked first, then every bit of it."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from fdl.checks import TreeError
from fdl.train.checkpoint import arrays, folders, manifest
from fdl.train.checkpoint.config import require_same
from fdl.train.checkpoint.manifest import CheckpointError, FormatError
from fdl.train.checkpoint.parts import Box, Part, boxes_here, called, cut, meet, whole
from fdl.train.together import of_first, together
from fdl.tree import Tree, Where, differences, flatten, require_matches, stands_for

SHOWN = 8
T = TypeVar("T")


class Taken(NamedTuple):
    """Paths: of the tree, what was taken from a checkpoint and what was kept; and what the checkpoint has besides."""

    taken: list[str]
    kept: list[str]
    left: list[str]


def latest(directory: str | Path) -> int | None:
    """The newest step with a whole manifest, computed from the folders; None where there is none."""
    content = next(_whole(Path(directory)), None)
    return content["step"] if content else None


def read_metadata(directory: str | Path) -> dict[str, Any]:
    """The metadata of the newest checkpoint with a whole manifest."""
    return _newest(directory)["metadata"]


def read_config(directory: str | Path) -> dict[str, Any]:
    """The configuration of the newest checkpoint with a whole manifest; {} where none was given."""
    return _newest(directory)["config"]


def restore(
    directory: str | Path, like: Tree, *, step: int | None = None, config: Any = None, may_change: Where = ()
) -> tuple[Any, dict[str, Any]]:
    """(state, metadata) of the newest checkpoint, in the structure of `like` (arrays or shapes alone).

    Where a leaf of `like` has a sharding, as arrays on a mesh and shapes with one have, the restored one lies the same,
    whatever devices and processes it was saved from.  All processes of a run call it; each reads what its devices hold.
    A damaged checkpoint is passed over with a warning for the one before it; with step= that step is wanted and no
    other.  Another environment than the one that it was saved in is a warning, since bits may differ from there on.
    Raises CheckpointError where none is whole, FormatError where a newer fdl wrote it, TreeError naming the paths
    where a whole one is of another model or optimizer: nothing is loaded in part, but by `restore_part`.  With config=
    it raises ConfigError where another one was saved, but for the paths that `may_change` means.
    """

    def load(folder: Path) -> tuple[dict[str, Any], Any]:
        content, leaves = manifest.read(folder), flatten(like)
        require_same(folder, content["config"], config, may_change)
        require_fit(folder, content, content["arrays"], leaves)
        found = _leaves(folder, content, leaves)
        return content, jax.tree.unflatten(jax.tree.structure(like), list(found.values()))

    places, notes = _places(Path(directory))
    content, state = newest_whole(directory, places, step, load, notes)
    return state, content["metadata"]


def restore_part(directory: str | Path, tree: Tree, where: Where, *, step: int | None = None) -> tuple[Any, Taken]:
    """The tree with the leaves that `where` means from the newest whole checkpoint, and what was taken and what not.

    For a model that begins with some of another's: restore_part(directory, state, "params/body/**").  All is as in
    `restore`, but that the checkpoint may hold more and less.  Raises TreeError where a pattern means no leaf, and for
    leaves meant that the checkpoint has not, or of another type.
    """
    leaves = flatten(tree)
    require_matches(leaves, where)
    wanted = {path: leaf for path, leaf in leaves.items() if stands_for(where, path, leaf)}

    def load(folder: Path) -> tuple[dict[str, Any], dict[str, jax.Array]]:
        content = manifest.read(folder)
        require_fit(folder, content, [path for path in content["arrays"] if path in wanted], wanted)
        return content, _leaves(folder, content, wanted)

    places, notes = _places(Path(directory))
    content, found = newest_whole(directory, places, step, load, notes)
    kept, left = ([path for path in paths if path not in wanted] for paths in (leaves, content["arrays"]))
    made = jax.tree.unflatten(jax.tree.structure(tree), list((leaves | found).values()))
    return made, Taken(list(wanted), kept, left)


def seen(directory: Path) -> list[Path]:
    """The folders of checkpoints, newest first, as the first process sees them."""
    return [directory / name for name in of_first(lambda: [path.name for path in folders.newest_first(directory)])]


def read(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and whole arrays of one checkpoint, every one equal to its digest.  Raises CheckpointError."""
    content = manifest.read(folder)
    boxes = {path: whole(array["shape"]) for path, array in content["arrays"].items()}
    found = _parts(folder, content, {path: [box] for path, box in boxes.items()})
    return content, {path: cut(found[path], box, content["arrays"][path]["dtype"]) for path, box in boxes.items()}


def newest_whole(
    directory: str | Path,
    places: Iterable[tuple[Path, int | None]],
    step: int | None,
    load: Callable[[Path], tuple[dict[str, Any], T]],
    notes: Sequence[str] = (),
) -> tuple[dict[str, Any], T]:
    """What load(place) -> (manifest, state) makes of the first place, given with its step, that all find whole.

    notes follow the error where there is none.
    """
    damage = []
    for place, found in places:
        if step not in (None, found):
            continue
        try:
            content, made = together(partial(load, place))
        except FormatError:
            raise
        except CheckpointError as error:
            damage.append(str(error))
            warnings.warn(f"{error}; trying the checkpoint before it", stacklevel=3)
            continue
        warn_of_changes(place, content)
        return content, made
    what = f"no whole checkpoint{'' if step is None else f' of step {step}'} in {directory}"
    raise CheckpointError("; ".join([what, *damage, *notes]))


def _places(directory: Path) -> tuple[list[tuple[Path, int | None]], list[str]]:
    """The folders with their steps, and what there is to say where there are none."""
    notes = [] if directory.is_dir() else ["there is no such directory"]
    return [(folder, folders.step_of(folder)) for folder in seen(directory)], notes


def _leaves(folder: Path, content: dict[str, Any], wanted: dict[str, Any]) -> dict[str, jax.Array]:
    """The arrays at these paths, each as it is to lie on the devices of this process."""
    places = {path: place_of(leaf) for path, leaf in wanted.items()}
    boxes = {path: boxes_here(place, tuple(content["arrays"][path]["shape"])) for path, place in places.items()}
    found = _parts(folder, content, {path: list(of_path.values()) for path, of_path in boxes.items()})
    return {path: _leaf(path, content, found[path], places[path], boxes[path]) for path in wanted}


def place_of(leaf: Any) -> Any:
    """Where a leaf of `like` says that it lies; None where it does not say."""
    if isinstance(leaf, jax.Array) and not leaf.committed:
        return None
    return getattr(leaf, "sharding", None)


def _parts(folder: Path, content: dict[str, Any], wanted: dict[str, list[Box]]) -> dict[str, list[Part]]:
    """By path the parts that the wanted boxes need, every one equal to its digest."""
    files: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {name: {} for name in content["files"]}
    for path, array in content["arrays"].items():
        for part in array["parts"]:
            name = called(path, _box(part), array["shape"])
            if name in files[part["file"]]:
                raise CheckpointError(f"{folder / manifest.NAME} is no manifest of ours: two parts are called {name}")
            files[part["file"]][name] = path, part | {"dtype": array["dtype"]}
    found: dict[str, list[Part]] = {path: [] for path in wanted}
    for file, held in files.items():
        needed = [n for n, (path, part) in held.items() if any(meet(_box(part), box) for box in wanted.get(path, ()))]
        expected = {name: part for name, (_, part) in held.items()}
        for name, numbers in arrays.read(folder / file, expected, content["files"][file], needed).items():
            path, part = held[name]
            found[path].append(Part(tuple(part["start"]), numbers))
    return found


def _box(part: dict[str, Any]) -> Box:
    return tuple(part["start"]), tuple(part["shape"])


def _newest(directory: str | Path) -> dict[str, Any]:
    content = next(_whole(Path(directory)), None)
    if content is None:
        raise CheckpointError(f"no whole checkpoint in {directory}")
    return content


def _whole(directory: Path) -> Iterator[dict[str, Any]]:
    for folder in folders.newest_first(directory):
        try:
            yield manifest.read(folder)
        except CheckpointError:
            continue


def require_fit(folder: Path, content: dict[str, Any], paths: Iterable[str], wanted: dict[str, Any]) -> None:
    """Raise TreeError unless these paths of the manifest are the leaves wanted; it costs no memory for arrays."""
    found = {path: _type(folder, path, content["arrays"][path], content["keys"]) for path in paths}
    wrong = differences(found, wanted)
    if not wrong:
        return
    # What the model says comes before what the optimizer remembers of it.
    lines = sorted(wrong, key=lambda line: not line.startswith("params"))
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    raise TreeError(
        f"{folder} holds another model or optimizer ({len(wrong)} paths differ):\n  "
        + "\n  ".join(lines[:SHOWN] + more)
    )


def require_width(path: str, dtype: np.dtype) -> None:
    """Raise TreeError for an element type that JAX would cut in silence."""
    narrow = jax.dtypes.canonicalize_dtype(dtype)
    if narrow != dtype:
        raise TreeError(f"{path} is {dtype}, which JAX would cut to {narrow}; start with JAX_ENABLE_X64=1")


def _type(folder: Path, path: str, array: dict[str, Any], keys: dict[str, str]) -> jax.ShapeDtypeStruct:
    shape, dtype = tuple(array["shape"]), np.dtype(array["dtype"])
    if path not in keys:
        return jax.ShapeDtypeStruct(shape, dtype)
    try:
        return _key_type(shape, dtype, keys[path])
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{folder}: {path} is no random key: {error}") from error


@lru_cache(maxsize=64)
def _key_type(shape: tuple[int, ...], dtype: np.dtype, impl: str) -> jax.ShapeDtypeStruct:
    numbers = jax.ShapeDtypeStruct(shape, dtype)
    return jax.eval_shape(lambda data: jax.random.wrap_key_data(data, impl=impl), numbers)


def warn_of_changes(folder: Path, content: dict[str, Any]) -> None:
    """Warn, where the caller's caller called, of what of the environment has changed."""
    changed = manifest.changes(content["environment"])
    if changed:
        warnings.warn(
            f"{folder} was saved in another environment: {'; '.join(changed)}. From here on bits may differ",
            stacklevel=4,
        )


def _leaf(path: str, content: dict[str, Any], parts: list[Part], place: Any, boxes: dict[Any, Box]) -> jax.Array:
    array, impl = content["arrays"][path], content["keys"].get(path)
    dtype = np.dtype(array["dtype"])
    require_width(path, dtype)
    # Copies on the device side: a donated buffer must not be NumPy's memory, nor that of another device.
    pieces = [jnp.array(cut(parts, box, dtype), copy=True, device=device) for device, box in boxes.items()]
    if place is not None:
        pieces = [jax.make_array_from_single_device_arrays(tuple(array["shape"]), place, pieces, dtype=dtype)]
    return pieces[0] if impl is None else jax.random.wrap_key_data(pieces[0], impl=impl)
