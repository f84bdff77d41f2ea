"""What a damaged file gives back: an error, the same arrays, or others without a word."""

import random
from pathlib import Path
from typing import Any

import numpy as np

from examples.promises.savers import Arrays, Saver

SEEN, EQUAL, WRONG = "refused", "equal", "silently wrong"


def small() -> Arrays:
    """A small checkpoint: a kernel, a bias of zeros, a few counts."""
    kernel = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    return {"kernel": kernel, "bias": np.zeros(64, np.float32), "count": np.arange(7, dtype=np.int32)}


def damaged(saver: Saver, folder: Path, trials: int, seed: int = 0) -> dict[str, Any]:
    """One flipped bit, and a cut at some byte, so many times each; a file is chosen by its size."""
    arrays, chance = small(), random.Random(seed)
    saver.save(folder, 1, arrays)
    contents = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    contents = {path: content for path, content in contents.items() if content}
    sizes = [len(content) for content in contents.values()]
    found = {how: dict.fromkeys((SEEN, EQUAL, WRONG), 0) for how in ("flip", "cut")}
    for how in found:
        for _ in range(trials):
            (path,) = chance.choices(list(contents), weights=sizes)
            content = bytearray(contents[path])
            place = chance.randrange(len(content))
            if how == "flip":
                content[place] ^= 1 << chance.randrange(8)
            else:
                del content[place:]
            path.write_bytes(content)
            found[how][outcome(saver, folder, arrays)] += 1
            path.write_bytes(contents[path])
    assert outcome(saver, folder, arrays) == EQUAL, "a whole file does not load"
    return found | {"bytes": sum(sizes), "files": len(sizes)}


def outcome(saver: Saver, folder: Path, arrays: Arrays) -> str:
    """Other names, shapes or types count as refused: the program that loads them would notice."""
    try:
        loaded = {name: np.asarray(array) for name, array in saver.load(folder, arrays).items()}
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # a panic of Rust is no Exception
        return SEEN
    if _types(loaded) != _types(arrays):
        return SEEN
    return EQUAL if all(loaded[name].tobytes() == arrays[name].tobytes() for name in arrays) else WRONG


def _types(arrays: Arrays) -> dict[str, Any]:
    return {name: (array.shape, array.dtype) for name, array in arrays.items()}
