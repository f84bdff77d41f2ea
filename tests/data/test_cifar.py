"""CIFAR-10's records, and files that hold something else."""

import lzma

import numpy as np
import pytest

from fdl.data import CifarError, cifar, cifar10_examples

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (4, 32, 32, 3), np.uint8)
LABELS = np.array([3, 0, 9, 5], np.uint8)
RECORDS = b"".join(
    bytes([label]) + b"".join(image[..., colour].tobytes() for colour in range(3))
    for image, label in zip(IMAGES, LABELS)
)


@pytest.mark.parametrize("pack", [bytes, lzma.compress])
def test_records_become_images_with_the_colours_last(tmp_path, pack):
    path = tmp_path / "batch.bin"
    path.write_bytes(pack(RECORDS))
    found = cifar10_examples(path)
    np.testing.assert_array_equal(found["image"], IMAGES)
    np.testing.assert_array_equal(found["label"], LABELS)
    assert (found["image"].dtype, found["label"].dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got 0 bytes"),
        (RECORDS[:-1], "got 12,291 bytes"),
        (b"\x0a" + RECORDS[1:], "batch.bin: label"),
        (lzma.compress(RECORDS)[:-40], "is damaged"),
        (lzma.compress(2 * RECORDS), "1 to 7 records"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, content, message, monkeypatch):
    monkeypatch.setattr(cifar, "MOST", 7)
    (tmp_path / "batch.bin").write_bytes(content)
    with pytest.raises(CifarError, match=message):
        cifar10_examples(tmp_path / "batch.bin")
