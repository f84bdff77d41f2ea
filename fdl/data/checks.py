"""Checks on the host, made once for a data set: in JAX a label out of range is silent."""

from typing import Any

import numpy as np

from fdl.checks import DtypeError, ShapeError, describe


class LabelError(ValueError):
    """A label names no class."""


def check_labels(labels: Any, classes: int) -> None:
    """Raise unless labels are integers from 0 to classes - 1, and name the first that is not.  int (...)

    Raises DtypeError for floats, ShapeError for one-hot rows, LabelError for values out of range.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and _one_hot(labels, classes):
        raise ShapeError(
            f"labels must be class numbers, got one-hot rows {describe(labels)}, "
            f"at index 0 that of class {labels[0].argmax()}; pass labels.argmax(-1)"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        first = f", the first at index {(0,) * labels.ndim} is {labels.flat[0]}" if labels.size else ""
        raise DtypeError(f"labels must be integers, got {describe(labels)}{first}; cast with labels.astype('int32')")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        index = tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))
        raise LabelError(
            f"labels must lie in 0 to {classes - 1}, got {labels[index]} at index {index}, "
            f"{wrong.sum()} of {labels.size} are outside; check the number of classes, or whether counting starts at 1"
        )


def _one_hot(labels: np.ndarray, classes: int) -> bool:
    if labels.shape[1] != classes or classes < 2 or not labels.size:
        return False
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())
