"""The folders of checkpoints: step_00001234, or step_00001234.1 where that step was saved again."""

import re
import shutil
import warnings
from collections.abc import Collection
from pathlib import Path

from fdl.train.checkpoint import disk

NAME = re.compile(r"step_([0-9]{8,18})(?:\.([0-9]{1,9}))?")


def newest_first(directory: Path) -> list[Path]:
    """By step, then by how often that step was saved."""
    found = [(NAME.fullmatch(path.name), path) for path in directory.glob("step_*")]
    ours = [(int(match[1]), int(match[2] or 0), path) for match, path in found if match]
    return [path for *_, path in sorted(ours, reverse=True)]


def step_of(folder: Path) -> int | None:
    """The step in the name of the folder, None where it has none."""
    match = NAME.fullmatch(folder.name)
    return int(match[1]) if match else None


def free_name(directory: Path, step: int) -> Path:
    """A name not taken, so that a step saved again never replaces a good checkpoint before the new one stands."""
    again = [int(NAME.fullmatch(path.name)[2] or 0) for path in newest_first(directory) if step_of(path) == step]  # type: ignore[index]
    return directory / (f"step_{step:08d}.{again[0] + 1}" if again else f"step_{step:08d}")


def retire(directory: Path, keep: int | Collection[int]) -> None:
    """Remove all but the newest `keep`, or all but the newest of each step in `keep`.

    A new checkpoint stands when this is called, so what cannot be removed is a warning, no error.
    """
    folders = newest_first(directory)
    if isinstance(keep, int):
        old = folders[keep:]
    else:
        newest = {step_of(path): path for path in reversed(folders)}
        old = [path for path in folders if step_of(path) not in keep or newest[step_of(path)] != path]
    for folder in old:
        try:
            disk.remove(folder)
        except OSError as error:
            warnings.warn(f"the old checkpoint {folder} cannot be removed: {error}", stacklevel=2)


def clean(directory: Path) -> None:
    """Remove what killed writers left half written or half removed.  Call it as the only writer."""
    for pattern in (".writing-*", ".removing-*"):
        for left in directory.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
