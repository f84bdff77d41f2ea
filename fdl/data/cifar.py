"""CIFAR-10 in its binary form: a record is one byte of label, then 1,024 bytes each of red, green and blue.

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import lzma
import os

import numpy as np

from fdl.data.checks import LabelError, check_labels

RECORD = 1 + 3 * 32 * 32
MOST = 60_000  # records, all there are


class CifarError(ValueError):
    """A file is not made of CIFAR-10's records; the message names it."""


def cifar10_examples(path: str | os.PathLike) -> dict[str, np.ndarray]:
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
