"""Ways to keep arrays on disk, each as its own documentation shows it: save over what is there, load it again.

The packages are imported where they are used: none is needed but the one that is measured.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Arrays: TypeAlias = dict[str, np.ndarray]


class Saver(NamedTuple):
    """save(folder, step, arrays) over what the folder holds; load(folder, like) gives the newest that loads."""

    package: str
    save: Callable[[Path, int, Arrays], Any]
    load: Callable[[Path, Arrays], Arrays]


def save_numpy(folder: Path, step: int, arrays: Arrays) -> None:
    np.savez(folder / "state.npz", **arrays)  # type: ignore[arg-type]


def load_numpy(folder: Path, like: Arrays) -> Arrays:
    with np.load(folder / "state.npz") as file:
        return dict(file)


def save_beside(folder: Path, step: int, arrays: Arrays) -> None:
    """What any program can do for itself in a few lines."""
    np.savez(folder / "new.npz", **arrays)  # type: ignore[arg-type]
    _sync(folder / "new.npz")
    os.replace(folder / "new.npz", folder / "state.npz")
    _sync(folder)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    os.fsync(number)
    os.close(number)


def save_torch(folder: Path, step: int, arrays: Arrays) -> None:
    import torch

    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, folder / "state.pt")


def load_torch(folder: Path, like: Arrays) -> Arrays:
    import torch

    return {name: tensor.numpy() for name, tensor in torch.load(folder / "state.pt", weights_only=True).items()}


def save_safetensors(folder: Path, step: int, arrays: Arrays) -> None:
    from safetensors.numpy import save_file

    save_file(arrays, folder / "state.safetensors")


def load_safetensors(folder: Path, like: Arrays) -> Arrays:
    from safetensors.numpy import load_file

    return load_file(folder / "state.safetensors")


def save_flax(folder: Path, step: int, arrays: Arrays) -> None:
    from flax import serialization

    (folder / "state.msgpack").write_bytes(serialization.to_bytes(arrays))


def load_flax(folder: Path, like: Arrays) -> Arrays:
    from flax import serialization

    return serialization.from_bytes(like, (folder / "state.msgpack").read_bytes())


def save_equinox(folder: Path, step: int, arrays: Arrays) -> None:
    import equinox

    equinox.tree_serialise_leaves(folder / "state.eqx", arrays)


def load_equinox(folder: Path, like: Arrays) -> Arrays:
    import equinox

    return equinox.tree_deserialise_leaves(folder / "state.eqx", like)


def save_orbax(folder: Path, step: int, arrays: Arrays) -> None:
    import orbax.checkpoint as orbax

    with orbax.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "state", arrays, force=True)
        checkpointer.wait_until_finished()


def load_orbax(folder: Path, like: Arrays) -> Arrays:
    import orbax.checkpoint as orbax

    with orbax.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder / "state", like)


def _manager(folder: Path) -> Any:
    import orbax.checkpoint as orbax

    return orbax.CheckpointManager(folder / "steps", options=orbax.CheckpointManagerOptions(max_to_keep=1))


def save_managed(folder: Path, step: int, arrays: Arrays) -> None:
    import orbax.checkpoint as orbax

    with _manager(folder) as manager:
        manager.save(step, args=orbax.args.StandardSave(arrays))
        manager.wait_until_finished()


def load_managed(folder: Path, like: Arrays) -> Arrays:
    """Of the steps that stand the newest that loads, as a program may well do, though the manager itself does not."""
    import orbax.checkpoint as orbax

    with _manager(folder) as manager:
        steps = sorted(manager.all_steps())
        while True:
            try:
                return manager.restore(steps.pop(), args=orbax.args.StandardRestore(like))
            except Exception:
                if not steps:
                    raise


def _state(step: int, arrays: Arrays) -> Any:
    from fdl import train

    return train.TrainState(np.int32(step), (), arrays, {}, ())  # type: ignore[arg-type]


def save_fdl(folder: Path, step: int, arrays: Arrays) -> None:
    from fdl import train

    train.checkpoint.save(folder, _state(step, arrays), keep=1)


def load_fdl(folder: Path, like: Arrays) -> Arrays:
    from fdl import train

    return train.checkpoint.restore(folder, _state(1, like))[0].params  # type: ignore[return-value]


SAVERS = {
    "fdl": Saver("fdl", save_fdl, load_fdl),
    "numpy.savez": Saver("numpy", save_numpy, load_numpy),
    "numpy.savez, beside, synced, renamed": Saver("numpy", save_beside, load_numpy),
    "torch.save": Saver("torch", save_torch, load_torch),
    "safetensors": Saver("safetensors", save_safetensors, load_safetensors),
    "flax.serialization": Saver("flax", save_flax, load_flax),
    "equinox": Saver("equinox", save_equinox, load_equinox),
    "Orbax StandardCheckpointer(force=True)": Saver("orbax.checkpoint", save_orbax, load_orbax),
    "Orbax CheckpointManager": Saver("orbax.checkpoint", save_managed, load_managed),
}
