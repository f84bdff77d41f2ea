"""CIFAR-10 in its binary form: a record is one byte of label, then 1,024 bytes each of red, green and blue.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import lzma
import os
from pathlib import Path

import numpy as np

from fdl.data.checks import LabelError, check_labels
from fdl.data.fetch import FetchError, directories
from fdl.data.sources import Dataset, Examples

ARCHIVE = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
RECORD = 1 + 3 * 32 * 32
FILE = 10_000  # records of one of its six files
MOST = 60_000  # records, all there are


class CifarError(ValueError):
    """A file is not made of CIFAR-10's records; the message names it."""


def cifar10(root: str | os.PathLike | None = None, *, train: int = 50_000, test: int = 10_000) -> Dataset:
    """Small photographs of ten kinds, the first so many of each part.  https://www.cs.toronto.edu/~kriz/cifar.html

    image uint8 (n, 32, 32, 3), red first; label int32 (n,): airplane, automobile, bird, cat, deer, dog, frog, horse,
    ship, truck.  No licence is stated.  Reads the files of the binary version that it needs, data_batch_1.bin to
    data_batch_5.bin and test_batch.bin, from the folder cifar10 of root, of $FDL_DATA or of the user's cache; each may
    be packed by xz (.bin.xz), and test_batch_first1000.bin does for up to 1,000.  Nothing is downloaded: raises
    FetchError for a file that is missing, CifarError for one that is damaged or of another length.
    """
    for name, count, most in (("train", train, 5 * FILE), ("test", test, FILE)):
        if not 1 <= count <= most:
            raise ValueError(f"{name} must be 1 to {most:,} images, got {count}")
    parts = [_file({f"data_batch_{1 + i}": FILE}, root) for i in range(-(-train // FILE))]
    few = {"test_batch_first1000": 1000} if test <= 1000 else {}
    return Dataset(_first(train, parts), _first(test, [_file({"test_batch": FILE} | few, root)]))


def cifar10_examples(path: str | os.PathLike) -> Examples:
    """One file of records, as it is or packed by xz: image uint8 (n, 32, 32, 3), red first; label int32 (n,), 0 to 9.

    Raises CifarError for a file that is damaged, no whole number of records, or longer than the data set.
    """
    with open(path, "rb") as file:
        packed = file.read(6) == b"\xfd7zXZ\x00"
    try:
        with lzma.open(path) if packed else open(path, "rb") as file:
            content = file.read(MOST * RECORD + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise CifarError(f"{path} is damaged: {error}") from error
    if not content or len(content) % RECORD or len(content) > MOST * RECORD:
        raise CifarError(f"{path} must hold 1 to {MOST:,} records of {RECORD:,} bytes, got {len(content):,} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    try:
        check_labels(records[:, 0], 10)
    except LabelError as error:
        raise CifarError(f"{path}: {error}") from error
    image = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return {"image": np.ascontiguousarray(image), "label": records[:, 0].astype(np.int32)}


def _file(lengths: dict[str, int], root: str | os.PathLike | None) -> Examples:
    """The examples of the first of these files that is there; each by its name and its number of records."""
    folders = [folder / "cifar10" for folder in directories(root)]
    for path, length in _paths(lengths, folders):
        if path.is_file():
            examples = cifar10_examples(path)
            if len(examples["label"]) != length:
                raise CifarError(f"{path} must hold {length:,} records, got {len(examples['label']):,}")
            return examples
    raise FetchError(
        f"{' or '.join(lengths)} is in none of\n" + "\n".join(f"  {folder}" for folder in folders) + "\n"
        f"unpack {ARCHIVE} and copy {next(iter(lengths))}.bin into one of them"
    )


def _paths(lengths: dict[str, int], folders: list[Path]) -> list[tuple[Path, int]]:
    return [
        (folder / f"{name}{end}", length)
        for folder in folders
        for name, length in lengths.items()
        for end in (".bin", ".bin.xz")
    ]


def _first(count: int, parts: list[Examples]) -> Examples:
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}
