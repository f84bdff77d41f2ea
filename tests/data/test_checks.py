"""Labels that name no class (R20)."""

import numpy as np
import pytest

from fdl.checks import DtypeError, ShapeError
from fdl.data import LabelError, check_labels


@pytest.mark.parametrize("labels", [[0, 9, 3], np.zeros((2, 3), np.uint8), np.zeros(0, np.int64), np.int32(4)])
def test_right_labels_pass(labels):
    check_labels(np.asarray(labels), 10)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (np.array([0, 1, -1, 10]), r"0 to 9, got -1 at index \(2,\), 2 of 4 "),
        (np.array([0, 10]), r"got 10 at index \(1,\)"),
        (np.array([[0, 1], [255, 0]], np.uint8), r"got 255 at index \(1, 0\)"),
    ],
)
def test_labels_out_of_range(labels, said):
    with pytest.raises(LabelError, match=said):
        check_labels(labels, 10)


def test_labels_of_another_kind():
    with pytest.raises(DtypeError, match=r"got float32\[2\], the first at index \(0,\) is 3.5"):
        check_labels(np.array([3.5, 1], np.float32), 10)
    for dtype in (np.int32, np.float32):
        with pytest.raises(ShapeError, match=r"at index 0 that of class 3; pass labels.argmax\(-1\)"):
            check_labels(np.eye(10, dtype=dtype)[[3, 1, 2]], 10)
