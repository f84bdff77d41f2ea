"""Items that are in two sets at once: a test item that was trained on measures memory."""

from typing import Any

import numpy as np

from fdl.checks import ShapeError, describe


def duplicates(first: Any, second: Any) -> np.ndarray:
    """Where the two hold the same item, bit for bit: rows (i, j) with first[i] = second[j].  -> int (pairs, 2)

    (n, ...) and (m, ...) of one type, as images without their labels; in order of i, then j.  Time and memory grow with
    n + m, not with their product.  Raises ShapeError if items of the two cannot be equal.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim < 1 or first.shape[1:] != second.shape[1:] or first.dtype != second.dtype:
        raise ShapeError(f"both must hold items of one shape and type, got {describe(first)} and {describe(second)}")
    places: dict[bytes, list[int]] = {}
    for j, item in enumerate(second):
        places.setdefault(item.tobytes(), []).append(j)
    pairs = [(i, j) for i, item in enumerate(first) for j in places.get(item.tobytes(), ())]
    return np.array(pairs, int).reshape(-1, 2)
